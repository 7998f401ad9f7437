/* The first place that is aligned is taken, and the gap before it, if there is one, is a free block. */
#include <errno.h>
#include <limits.h>

#include "check.h"
#include "mem.h"

static int refused(int alignment, int size, int why)
{
    errno = 0;
    return Mem_AllocAligned(alignment, size) == NULL && errno == why;
}

int main(void)
{
    static const struct { int alignment, size, place; } served[] = {
        {64, 100, 1088},       /* after a gap of 48 bytes */
        {256, 16, 1280},
        {16, SLAB_SIZE, 0},    /* nothing that a slot has not */
        {1, 1, 1312},
        {32, 32, 1344},        /* without a gap */
        {2048, 100, 2048},
        {64, SLAB_SIZE, 2176}, /* a slot is not aligned to 64 but by accident */
        {32, 16, 2304},        /* 2272 would leave a gap of 16 bytes, which no block fits into */
    };
    enum { SERVED = sizeof served / sizeof served[0] };
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *objects[SERVED];

    CHECK(base != NULL);
    for (int i = 0; i < SERVED; i++) {
        objects[i] = Mem_AllocAligned(served[i].alignment, served[i].size);
        CHECK(objects[i] == base + served[i].place);
    }
    CHECK(refused(PAGE, 1, ENOMEM)); /* only the heap itself starts at a page */
    CHECK(refused(1 << 30, 1, ENOMEM));
    CHECK(refused(32, INT_MAX, ENOMEM));
    CHECK(refused(0, 1, EINVAL));
    CHECK(refused(-16, 1, EINVAL));
    CHECK(refused(INT_MIN, 1, EINVAL));
    CHECK(refused(3, 1, EINVAL));
    CHECK(refused(48, 1, EINVAL));
    CHECK(refused(32, 0, EINVAL));
    CHECK(refused(32, -1, EINVAL));

    /* The gaps are free like any other block. */
    CHECK(Mem_Alloc(PAGE - 2320 - HEADER) == base + 2320 + HEADER);
    CHECK(Mem_Alloc(32) == base + SLAB_SEGMENT + HEADER);
    CHECK(Mem_Free(base + SLAB_SEGMENT + HEADER) == 0);
    CHECK(Mem_Free(base + 2320 + HEADER) == 0);
    for (int i = 0; i < SERVED; i++)
        CHECK(Mem_Free(objects[i]) == 0);
    CHECK(Mem_Check() == 0);
    CHECK(Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER) == base + SLAB_SEGMENT + HEADER);
    return 0;
}
