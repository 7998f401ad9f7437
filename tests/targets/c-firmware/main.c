/* A program in C89 without libc: a heap of each policy in a static array, every fault refused, and a walk that shows all. */
#include <stddef.h>

#include "board.h"
#include "mem.h"

enum { SLAB_SIZE = 32, HEADER = 8, MANY = 8 };

static unsigned char memory[8192];
static unsigned char large[65536];

/* What a walk has shown. */
struct seen {
    struct mem_heap *heap;
    int slots[2], blocks[2];
    const unsigned char *end;
    struct mem_block first[MANY];
    int count;
};

static int note(const struct mem_block *block, void *arg)
{
    struct seen *seen = arg;
    const unsigned char *start = block->address;
    void *object;

    CHECK(!is_locked());
    CHECK(seen->end == NULL || start == seen->end);
    CHECK(start >= memory && block->size > 0 && block->size <= (size_t)(memory + sizeof memory - start));
    seen->end = start + block->size;
    (block->slot ? seen->slots : seen->blocks)[block->used != 0]++;
    if (seen->count < MANY && !block->slot)
        seen->first[seen->count++] = *block;
    /* The heap may be used meanwhile. */
    object = mem_heap_alloc(seen->heap, 300);
    CHECK(object != NULL && mem_heap_free(seen->heap, object) == 0);
    return 0;
}

static int stop(const struct mem_block *block, void *arg)
{
    (void)block;
    return *(int *)arg;
}

static void every_slot_and_block_is_shown(void)
{
    struct mem_heap *heap = mem_heap_create_in(memory, sizeof memory, SLAB_SIZE, 0);
    unsigned char *slot, *block;
    struct seen seen = {0};
    struct mem_stats stats;
    int seven = 7;

    CHECK(heap != NULL);
    slot = mem_heap_alloc(heap, SLAB_SIZE);
    block = mem_heap_alloc(heap, 100);
    CHECK(slot != NULL && block != NULL && (size_t)block % HEADER == 0);
    CHECK(mem_heap_stats(heap, &stats) == 0);
    seen.heap = heap;
    CHECK(mem_heap_walk(heap, note, &seen) == 0);
    CHECK(seen.slots[1] == 1 && seen.slots[0] + 1 == (int)(stats.slab.size / SLAB_SIZE));
    CHECK(seen.blocks[1] == 1 && seen.blocks[0] == 1);
    CHECK(seen.first[0].address == block - HEADER && seen.first[0].size == 104 + HEADER && seen.first[0].used == 1);
    CHECK(seen.first[1].used == 0 && seen.first[1].size == stats.next_fit.free_bytes);
    CHECK(mem_heap_walk(heap, stop, &seven) == 7);
    CHECK(mem_heap_walk(heap, NULL, NULL) == -1);
    CHECK(mem_heap_destroy(heap) == 0);
    CHECK(mem_heap_alloc(heap, 1) == NULL);
}

static void every_wrong_free_is_refused(void)
{
    struct mem_heap *heap = mem_heap_create_in(memory, sizeof memory, SLAB_SIZE, MEM_FIRST_FIT);
    unsigned char *first = mem_heap_alloc(heap, 40), *second = mem_heap_alloc(heap, SLAB_SIZE);

    CHECK(first != NULL && second != NULL);
    CHECK(mem_heap_free(heap, first + 8) == -1);
    CHECK(mem_heap_free(heap, second + 8) == -1);
    CHECK(mem_heap_free(heap, first + 1) == -1);
    CHECK(mem_heap_free(heap, large) == -1);
    CHECK(mem_heap_free(heap, NULL) == 0);
    CHECK(mem_heap_free(heap, first) == 0 && mem_heap_free(heap, first) == -1);
    CHECK(mem_heap_free(heap, second) == 0 && mem_heap_free(heap, second) == -1);
    CHECK(mem_heap_free((struct mem_heap *)(void *)large, first) == -1);
    CHECK(mem_heap_destroy(heap) == 0);
}

static void an_overwritten_header_is_found_and_repaired(void)
{
    struct mem_heap *heap = mem_heap_create_in(memory, sizeof memory, SLAB_SIZE, 0);
    unsigned char *object = mem_heap_alloc(heap, 50);
    struct AllocatedHeader *header = (struct AllocatedHeader *)(void *)(object - HEADER);

    CHECK(sizeof *header == HEADER && sizeof(struct FreeHeader) == HEADER);
    CHECK(header->length == 56 && header->magic == (void *)MAGIC);
    CHECK(mem_heap_check(heap) == 0);
    header->length = 8;
    CHECK(mem_heap_check(heap) == -1 && mem_heap_free(heap, object) == -1);
    CHECK(mem_heap_repair(heap) == 1 && header->length == 56);
    CHECK(mem_heap_check(heap) == 0 && mem_heap_free(heap, object) == 0);
    CHECK(mem_heap_destroy(heap) == 0);
}

static void objects_grow_and_are_aligned_and_cleared(void)
{
    struct mem_heap *heap = mem_heap_create_in(memory, sizeof memory, SLAB_SIZE, 0);
    unsigned char *object = mem_heap_alloc(heap, 60), *zeros, *aligned;
    int at;

    for (at = 0; at < 60; at++)
        object[at] = (unsigned char)at;
    object = mem_heap_realloc(heap, object, 600);
    CHECK(object != NULL && mem_heap_usable_size(heap, object) >= 600);
    for (at = 0; at < 60; at++)
        CHECK(object[at] == at);
    CHECK(mem_heap_realloc(heap, object, sizeof memory) == NULL);
    zeros = mem_heap_calloc(heap, 10, 30);
    for (at = 0; at < 300; at++)
        CHECK(zeros[at] == 0);
    aligned = mem_heap_alloc_aligned(heap, 64, 10);
    CHECK(aligned != NULL && (size_t)aligned % 64 == 0);
    CHECK(mem_heap_alloc(heap, (size_t)-1) == NULL && mem_heap_calloc(heap, (size_t)-1, 2) == NULL);
    CHECK(mem_heap_destroy(heap) == 0);
}

static void options_say_what_a_heap_is_like(void)
{
    struct mem_heap_options options = {0};
    struct mem_class_stats classes[MEM_CLASSES];
    struct mem_heap *heap;

    options.size = sizeof large;
    CHECK(mem_heap_create_with(&options) == NULL);
    options.buffer = large;
    options.flags = MEM_REPORT;
    CHECK(mem_heap_create_with(&options) == NULL);
    options.flags = MEM_HARDENED;
    CHECK(mem_heap_create_with(&options) == NULL);
    CHECK(mem_heap_create_in(memory, sizeof memory, SLAB_SIZE, MEM_HARDENED) == NULL);
    options.flags = 0;
    heap = mem_heap_create_with(&options);
    CHECK(heap != NULL && mem_heap_alloc(heap, 16) != NULL);
    CHECK(mem_heap_class_stats(heap, classes, MEM_CLASSES) > 0);
    CHECK(classes[0].slot_size == 16 && classes[0].live_objects == 1);
    CHECK(mem_heap_destroy(heap) == 0);
    CHECK(mem_heap_create_in(memory, 100, SLAB_SIZE, 0) == NULL);
    CHECK(mem_heap_create_in(NULL, sizeof memory, SLAB_SIZE, 0) == NULL);
}

void run(void)
{
    every_slot_and_block_is_shown();
    every_wrong_free_is_refused();
    an_overwritten_header_is_found_and_repaired();
    objects_grow_and_are_aligned_and_cleared();
    options_say_what_a_heap_is_like();
    CHECK(!is_locked());
    say("C firmware: 5 tests passed\n");
}
