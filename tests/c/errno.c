/* Whoever fails says why in errno, and whoever succeeds leaves it alone. */
#include <errno.h>
#include <limits.h>
#include <sys/resource.h>

#include "check.h"
#include "mem.h"

enum { UNTOUCHED = 1234 };

#define FAILS(call, failure, why) (errno = UNTOUCHED, (call) == (failure) && errno == (why))
#define SUCCEEDS(call) (errno = UNTOUCHED, (call) && errno == UNTOUCHED)

static void without_a_heap(void)
{
    CHECK(FAILS(Mem_Alloc(1), NULL, EINVAL));
    CHECK(FAILS(Mem_Calloc(1, 1), NULL, EINVAL));
    CHECK(FAILS(Mem_Realloc(NULL, 1), NULL, EINVAL));
    CHECK(FAILS(Mem_AllocAligned(16, 1), NULL, EINVAL));
    CHECK(FAILS(Mem_AllocAligned(64, 1), NULL, EINVAL));
    CHECK(SUCCEEDS(Mem_Check() == 0));
    CHECK(SUCCEEDS(Mem_Repair() == 0));
    CHECK(FAILS(Mem_Init(0, SLAB_SIZE), NULL, EINVAL));
    CHECK(FAILS(Mem_Init(-1, SLAB_SIZE), NULL, EINVAL));
    CHECK(FAILS(Mem_Init(PAGE, 0), NULL, EINVAL));
    CHECK(FAILS(Mem_Init(PAGE, INT_MIN), NULL, EINVAL));
}

static void without_memory(void)
{
    struct rlimit limit;
    rlim_t before;

    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    before = limit.rlim_cur;
    limit.rlim_cur = 64 << 20;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(FAILS(Mem_Init(INT_MAX, SLAB_SIZE), NULL, ENOMEM));
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void in_a_full_heap(void)
{
    void *object;

    CHECK(FAILS(Mem_Alloc(0), NULL, EINVAL));
    CHECK(FAILS(Mem_Alloc(-1), NULL, EINVAL));
    CHECK(FAILS(Mem_Alloc(PAGE), NULL, ENOMEM));
    CHECK(FAILS(Mem_Alloc(INT_MAX), NULL, ENOMEM));
    CHECK(SUCCEEDS((object = Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER)) != NULL));
    CHECK(FAILS(Mem_Alloc(1), NULL, ENOMEM));
    CHECK(FAILS(Mem_Calloc(1, 1), NULL, ENOMEM));
    CHECK(FAILS(Mem_AllocAligned(32, SLAB_SIZE), NULL, ENOMEM));
    CHECK(FAILS(Mem_Realloc(NULL, 1), NULL, ENOMEM));
    CHECK(FAILS(Mem_Realloc(object, PAGE), NULL, ENOMEM));
    CHECK(SUCCEEDS(Mem_Free(object) == 0));
}

static void when_all_is_well(void)
{
    struct mem_stats stats;
    void *object;

    CHECK(SUCCEEDS((object = Mem_Alloc(SLAB_SIZE)) != NULL));
    CHECK(SUCCEEDS((object = Mem_Realloc(object, 2 * SLAB_SIZE)) != NULL));
    CHECK(SUCCEEDS(Mem_UsableSize(object) == 2 * SLAB_SIZE));
    CHECK(SUCCEEDS(Mem_Free(object) == 0));
    CHECK(SUCCEEDS((object = Mem_Calloc(3, 33)) != NULL));
    CHECK(SUCCEEDS(Mem_Free(object) == 0));
    CHECK(SUCCEEDS((object = Mem_AllocAligned(256, 1)) != NULL));
    CHECK(SUCCEEDS(Mem_Free(object) == 0));
    CHECK(SUCCEEDS(Mem_Free(NULL) == 0));
    CHECK(SUCCEEDS(Mem_UsableSize(NULL) == 0));
    CHECK(SUCCEEDS(Mem_Check() == 0));
    CHECK(SUCCEEDS(Mem_Repair() == 0));
    CHECK(SUCCEEDS(Mem_Stats(&stats) == 0));
    CHECK(FAILS(Mem_Stats(NULL), -1, EINVAL));
}

int main(void)
{
    without_a_heap();
    without_memory();
    CHECK(SUCCEEDS(Mem_Init(PAGE, SLAB_SIZE) != NULL));
    CHECK(FAILS(Mem_Init(PAGE, SLAB_SIZE), NULL, EBUSY));
    CHECK(FAILS(Mem_Init(PAGE, 0), NULL, EINVAL));
    in_a_full_heap();
    when_all_is_well();
    return 0;
}
