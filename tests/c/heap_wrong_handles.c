/* What is no handle is refused by every function, and nothing happens. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { SIZE = 8192, UNTOUCHED = 1234, STEP = 64, PLACES = 1 << 16 };

/* A heap in the first bytes, and after it all that differs from its place in one bit, or in some. */
static _Alignas(PLACES) char buffer[PLACES];
static _Alignas(STEP) char zeros[SIZE];

static int is(int answered, int why)
{
    int told = errno;

    errno = UNTOUCHED;
    return answered && told == why;
}

static int never(const struct mem_block *block, void *arg)
{
    (void)block, (void)arg;
    CHECK(!"called");
    return 1;
}

static void refused(struct mem_heap *heap)
{
    struct mem_stats stats;

    errno = UNTOUCHED;
    CHECK(is(mem_heap_alloc(heap, 1) == NULL, EINVAL));
    CHECK(is(mem_heap_calloc(heap, 1, 1) == NULL, EINVAL));
    CHECK(is(mem_heap_alloc_aligned(heap, 16, 1) == NULL, EINVAL));
    CHECK(is(mem_heap_realloc(heap, NULL, 1) == NULL, EINVAL));
    CHECK(is(mem_heap_free(heap, NULL) == -1, EINVAL));
    CHECK(is(mem_heap_usable_size(heap, NULL) == 0, EINVAL));
    CHECK(is(mem_heap_check(heap) == -1, EINVAL));
    CHECK(is(mem_heap_repair(heap) == -1, EINVAL));
    CHECK(is(mem_heap_stats(heap, &stats) == -1, EINVAL));
    CHECK(is(mem_heap_class_stats(heap, NULL, 0) == -1, EINVAL));
    CHECK(is(mem_heap_dump(heap) == -1, EINVAL));
    CHECK(is(mem_heap_walk(heap, never, NULL) == -1, EINVAL));
    if (heap != NULL)
        CHECK(is(mem_heap_destroy(heap) == -1, EINVAL));
}

int main(void)
{
    struct mem_heap *mapped = mem_heap_create(SIZE, SLAB_SIZE, 0);
    struct mem_heap *lent = mem_heap_create_in(buffer, SIZE, SLAB_SIZE, 0);
    char *object = mem_heap_alloc(lent, 100);

    CHECK(mapped != NULL && lent != NULL && object != NULL);
    refused(NULL);
    errno = UNTOUCHED;
    CHECK(is(mem_heap_destroy(NULL) == 0, UNTOUCHED));

    refused((struct mem_heap *)zeros);
    refused((struct mem_heap *)object);
    refused((struct mem_heap *)((char *)mapped + 1));
    refused((struct mem_heap *)((char *)mapped + 64));
    refused((struct mem_heap *)((char *)lent + 64));

    /* A copy is none, wherever it lies. */
    for (size_t at = SIZE; at + SIZE <= PLACES; at += STEP) {
        memcpy(buffer + at, buffer, SIZE);
        refused((struct mem_heap *)(buffer + at + ((char *)lent - buffer)));
    }

    /* The real ones are as they were, until they are destroyed. */
    CHECK(mem_heap_check(mapped) == 0 && mem_heap_check(lent) == 0);
    CHECK(mem_heap_free(lent, object) == 0);
    CHECK(mem_heap_destroy(lent) == 0);
    refused(lent);
    CHECK(mem_heap_create_in(buffer, SIZE, SLAB_SIZE, 0) == lent);
    CHECK(mem_heap_alloc(lent, 100) == object);
    CHECK(mem_heap_destroy(lent) == 0);
    CHECK(mem_heap_destroy(mapped) == 0);
    return 0;
}
