/* mem_heap_walk shows every slot and every block, with its address, its size and its state, and ends when it is told to. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { MANY = 64 };

/* What a walk has shown. */
struct seen {
    struct mem_heap *heap;
    struct mem_block blocks[MANY];
    int count, most;
};

static int note(const struct mem_block *block, void *arg)
{
    struct seen *seen = arg;
    void *object;

    CHECK(seen->count < MANY);
    seen->blocks[seen->count++] = *block;
    /* No lock is held: the heap may be used. */
    object = mem_heap_alloc(seen->heap, 20);
    CHECK(object != NULL && mem_heap_free(seen->heap, object) == 0);
    return seen->count == seen->most ? 7 : 0;
}

static int is(const struct mem_block *block, const void *address, size_t size, int used, int slot)
{
    return block->address == address && block->size == size && block->used == used && block->slot == slot;
}

static void in_a_slab_and_in_blocks(void)
{
    struct mem_heap *heap = mem_heap_create(PAGE, SLAB_SIZE, 0);
    char *slot = mem_heap_alloc(heap, SLAB_SIZE), *block = mem_heap_alloc(heap, 100);
    struct seen seen = {heap, {{0}}, 0, MANY};
    const struct mem_block *last;
    int nth;

    CHECK(slot != NULL && block != NULL);
    CHECK(mem_heap_walk(heap, note, &seen) == 0);
    CHECK(seen.count == SLOTS + 2);
    for (nth = 0; nth < SLOTS; nth++)
        CHECK(is(&seen.blocks[nth], slot + nth * SLAB_SIZE, SLAB_SIZE, nth == 0, 1));
    CHECK(is(&seen.blocks[SLOTS], block - HEADER, 112 + HEADER, 1, 0));
    last = &seen.blocks[SLOTS + 1];
    CHECK(is(last, block + 112, PAGE - SLAB_SEGMENT - 112 - HEADER, 0, 0));

    seen.count = 0;
    seen.most = 5;
    CHECK(mem_heap_walk(heap, note, &seen) == 7);
    CHECK(seen.count == 5);

    errno = 0;
    CHECK(mem_heap_walk(heap, NULL, &seen) == -1 && errno == EINVAL);
    CHECK(mem_heap_destroy(heap) == 0);
}

static int count_slots(const struct mem_block *block, void *arg)
{
    int *slots = arg;

    slots[block->used] += block->slot;
    return 0;
}

static void in_runs(void)
{
    struct mem_heap_options options;
    struct mem_heap *heap;
    int slots[2] = {0, 0};

    memset(&options, 0, sizeof options);
    options.size = 1 << 20;
    heap = mem_heap_create_with(&options);
    CHECK(heap != NULL);
    CHECK(mem_heap_alloc(heap, 16) != NULL && mem_heap_alloc(heap, 16) != NULL && mem_heap_alloc(heap, 1000) != NULL);
    CHECK(mem_heap_walk(heap, count_slots, slots) == 0);
    CHECK(slots[1] == 2 && slots[0] == 62);
    CHECK(mem_heap_destroy(heap) == 0);
}

int main(void)
{
    in_a_slab_and_in_blocks();
    in_runs();
    return 0;
}
