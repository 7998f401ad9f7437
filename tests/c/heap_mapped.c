/* A heap with a handle is like the process's: the same split, the same places, the same rules. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

#define FAILS(call, failure, why) (errno = 0, (call) == (failure) && errno == (why))

/* Whether writing to this byte is the end of a process. */
static int guarded(volatile char *byte)
{
    int status;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        *byte = 1;
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void places(struct mem_heap *heap, char *base)
{
    char *first = base + SLAB_SEGMENT + HEADER;

    CHECK(mem_heap_alloc(heap, 100) == first);
    CHECK(mem_heap_usable_size(heap, first) == 112);
    CHECK(mem_heap_realloc(heap, first, 30) == first);
    CHECK(mem_heap_usable_size(heap, first) == 32);
    CHECK(mem_heap_alloc_aligned(heap, 512, 50) == base + 1536);
    CHECK(mem_heap_calloc(heap, 10, 10) == base + 1536 + 64 + HEADER);
    CHECK(mem_heap_realloc(heap, NULL, 1) == base + 1536 + 64 + HEADER + 112 + HEADER);
    CHECK(mem_heap_free(heap, base) == 0);
    CHECK(mem_heap_calloc(heap, 8, 8) == base);
    CHECK(mem_heap_free(heap, NULL) == 0);
    CHECK(mem_heap_usable_size(heap, NULL) == 0);
}

static void failures(struct mem_heap *heap, char *base)
{
    CHECK(FAILS(mem_heap_alloc(heap, 0), NULL, EINVAL));
    CHECK(FAILS(mem_heap_alloc(heap, PAGE), NULL, ENOMEM));
    CHECK(FAILS(mem_heap_alloc(heap, SIZE_MAX), NULL, ENOMEM));
    CHECK(FAILS(mem_heap_calloc(heap, 0, 1), NULL, EINVAL));
    CHECK(FAILS(mem_heap_calloc(heap, 1, 0), NULL, EINVAL));
    CHECK(FAILS(mem_heap_calloc(heap, SIZE_MAX, 2), NULL, ENOMEM));
    CHECK(FAILS(mem_heap_calloc(heap, SIZE_MAX / 2 + 1, 2), NULL, ENOMEM)); /* 0 as a size_t */
    CHECK(FAILS(mem_heap_alloc_aligned(heap, 0, 1), NULL, EINVAL));
    CHECK(FAILS(mem_heap_alloc_aligned(heap, 3, 1), NULL, EINVAL));
    CHECK(FAILS(mem_heap_alloc_aligned(heap, 32, 0), NULL, EINVAL));
    CHECK(FAILS(mem_heap_alloc_aligned(heap, SIZE_MAX / 2 + 1, 1), NULL, ENOMEM));
    CHECK(FAILS(mem_heap_alloc_aligned(heap, 32, SIZE_MAX), NULL, ENOMEM));
    CHECK(FAILS(mem_heap_realloc(heap, base, 0), NULL, EINVAL));
    CHECK(FAILS(mem_heap_realloc(heap, base, SIZE_MAX), NULL, ENOMEM));
    CHECK(FAILS(mem_heap_stats(heap, NULL), -1, EINVAL));
}

static void damage(struct mem_heap *heap, char *base)
{
    struct mem_stats stats;
    char *object = base + SLAB_SEGMENT + HEADER;

    CHECK(mem_heap_check(heap) == 0);
    memset(object - HEADER, 0xff, HEADER);
    CHECK(FAILS(mem_heap_check(heap), -1, EUCLEAN));
    CHECK(FAILS(mem_heap_free(heap, object), -1, EINVAL));
    CHECK(mem_heap_repair(heap) == 1);
    CHECK(mem_heap_check(heap) == 0);
    CHECK(mem_heap_free(heap, object) == 0);
    CHECK(mem_heap_stats(heap, &stats) == 0);
    CHECK(stats.slab.size == SLAB_SEGMENT && stats.next_fit.size == PAGE - SLAB_SEGMENT);
    CHECK(stats.next_fit.corruptions == 1);
    CHECK(stats.next_fit.failed_full > 0);
}

static void placement(void)
{
    struct mem_heap *next = mem_heap_create(PAGE, SLAB_SIZE, 0);
    struct mem_heap *first = mem_heap_create(PAGE, SLAB_SIZE, MEM_FIRST_FIT);
    char *in_next = mem_heap_alloc(next, 32), *in_first = mem_heap_alloc(first, 32);

    CHECK(in_next != NULL && in_first != NULL);
    CHECK(mem_heap_alloc(next, 32) == in_next + 48);
    CHECK(mem_heap_alloc(first, 32) == in_first + 48);
    CHECK(mem_heap_free(next, in_next) == 0);
    CHECK(mem_heap_free(first, in_first) == 0);
    CHECK(mem_heap_alloc(next, 32) == in_next + 96);
    CHECK(mem_heap_alloc(first, 32) == in_first);
    CHECK(mem_heap_destroy(next) == 0);
    CHECK(mem_heap_destroy(first) == 0);
}

int main(void)
{
    struct mem_heap *heap;
    char *base;

    CHECK(FAILS(mem_heap_create(0, SLAB_SIZE, 0), NULL, EINVAL));
    CHECK(FAILS(mem_heap_create(PAGE, 0, 0), NULL, EINVAL));
    CHECK(FAILS(mem_heap_create(PAGE, SLAB_SIZE, 4), NULL, EINVAL));
    CHECK(FAILS(mem_heap_create(PAGE, SLAB_SIZE, -1), NULL, EINVAL));
    CHECK(FAILS(mem_heap_create(SIZE_MAX, SLAB_SIZE, 0), NULL, EINVAL));

    heap = mem_heap_create(1, SLAB_SIZE, 0); /* a page */
    CHECK(heap != NULL);
    base = mem_heap_alloc(heap, SLAB_SIZE);
    CHECK(base != NULL && (size_t)base % PAGE == 0);
    places(heap, base);
    failures(heap, base);
    damage(heap, base);
    CHECK(!guarded(base) && !guarded(base + PAGE - 1));
    CHECK(guarded(base - 1) && guarded(base + PAGE));
    CHECK(!guarded((char *)heap));
    CHECK(guarded((char *)heap - 1) && guarded((char *)heap + PAGE));
    CHECK(mem_heap_destroy(heap) == 0);
    CHECK(guarded(base) && guarded((char *)heap));
    placement();
    return 0;
}
