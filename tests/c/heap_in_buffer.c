/* A heap in the caller's buffer stays inside of it, wherever it starts and however small it is. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { ROOM = 64, ENOUGH = 2048, LARGE = 65536 };

static _Alignas(64) unsigned char memory[ROOM + LARGE + ROOM];

/* Whether nothing was written but between these two. */
static int untouched_beside(const unsigned char *start, const unsigned char *end)
{
    for (const unsigned char *byte = memory; byte < memory + sizeof memory; byte++)
        if ((byte < start || byte >= end) && *byte != 0xa5)
            return 0;
    return 1;
}

/* Takes all there is, writes all over it, and gives it back; returns how many objects there were. */
static int use_up(struct mem_heap *heap, unsigned char *start, unsigned char *end)
{
    static unsigned char *objects[LARGE / 32];
    int count = 0;

    while ((objects[count] = mem_heap_alloc(heap, 32)) != NULL) {
        CHECK(objects[count] > start && objects[count] + 32 <= end);
        CHECK((size_t)objects[count] % 16 == 0);
        memset(objects[count], count, 32);
        count++;
    }
    CHECK(mem_heap_check(heap) == 0);
    for (int i = 0; i < count; i++) {
        CHECK(objects[i][0] == (unsigned char)i && objects[i][31] == (unsigned char)i);
        CHECK(mem_heap_free(heap, objects[i]) == 0);
    }
    return count;
}

static void any_start_and_size(void)
{
    for (size_t offset = 0; offset < ROOM; offset++) {
        for (size_t size = 0; size <= ENOUGH; size += offset == 1 ? 1 : 509) {
            unsigned char *start = memory + ROOM + offset;
            struct mem_heap *heap;

            memset(memory, 0xa5, 2 * ROOM + ENOUGH);
            errno = 0;
            heap = mem_heap_create_in(start, size, 48, 0);
            if (heap == NULL) {
                CHECK(errno == EINVAL);
                CHECK(size < ENOUGH);
                CHECK(untouched_beside(start, start));
                continue;
            }
            CHECK((unsigned char *)heap >= start && (unsigned char *)heap < start + ROOM);
            use_up(heap, start, start + size);
            CHECK(mem_heap_destroy(heap) == 0);
            CHECK(untouched_beside(start, start + size));
        }
    }
}

/* Some 2% of a large buffer are not for objects. */
static void most_of_it_is_for_objects(void)
{
    unsigned char *start = memory + ROOM;
    struct mem_heap *heap = mem_heap_create_in(start, LARGE, SLAB_SIZE, MEM_FIRST_FIT);
    struct mem_stats stats;

    CHECK(heap != NULL);
    CHECK(mem_heap_stats(heap, &stats) == 0);
    CHECK(stats.slab.size + stats.next_fit.size > LARGE - LARGE / 25);
    CHECK(stats.next_fit.largest_free == stats.next_fit.size);
    CHECK(use_up(heap, start, start + LARGE) == (int)stats.next_fit.size / 48);
    CHECK(mem_heap_destroy(heap) == 0);
}

/* What runs past an object's end hits other objects and headers, and never what the library knows. */
static void an_overflow_reaches_no_handle(void)
{
    unsigned char *start = memory + ROOM, *object, *slot;
    struct mem_heap *heap = mem_heap_create_in(start, 8192, SLAB_SIZE, 0);

    slot = mem_heap_alloc(heap, SLAB_SIZE);
    object = mem_heap_alloc(heap, 100);
    CHECK(slot != NULL && object > slot && slot > (unsigned char *)heap);
    memset(slot, 0xff, (size_t)(start + 8192 - slot));
    errno = 0;
    CHECK(mem_heap_check(heap) == -1 && errno == EUCLEAN);
    CHECK(mem_heap_free(heap, object) == -1);
    CHECK(mem_heap_repair(heap) == 2);
    CHECK(mem_heap_check(heap) == 0);
    CHECK(mem_heap_free(heap, object) == 0);
    CHECK(mem_heap_free(heap, slot) == 0);
    CHECK(mem_heap_destroy(heap) == 0);
}

static int refused(void *buffer, size_t size, size_t slab_size, int flags)
{
    errno = 0;
    return mem_heap_create_in(buffer, size, slab_size, flags) == NULL && errno == EINVAL;
}

int main(void)
{
    memset(memory, 0xa5, sizeof memory);
    CHECK(refused(NULL, LARGE, SLAB_SIZE, 0));
    CHECK(refused(NULL, 0, SLAB_SIZE, 0));
    CHECK(refused(memory, 0, SLAB_SIZE, 0));
    CHECK(refused(memory, LARGE, 0, 0));
    CHECK(refused(memory, LARGE, SLAB_SIZE, 4));
    CHECK(refused(memory, (size_t)-1, SLAB_SIZE, 0));
    CHECK(untouched_beside(memory, memory));
    any_start_and_size();
    most_of_it_is_for_objects();
    an_overflow_reaches_no_handle();
    return 0;
}
