/* Objects side by side are zeroed, whatever lay there before, and a product that is slab_size is a slot. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "check.h"
#include "mem.h"

static int zeroed(const char *object, int size)
{
    for (int i = 0; i < size; i++)
        if (object[i] != 0)
            return 0;
    return 1;
}

static int refused(int count, int size, int why)
{
    errno = 0;
    return Mem_Calloc(count, size) == NULL && errno == why;
}

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *first = base + SLAB_SEGMENT + HEADER, *object;

    CHECK(base != NULL);
    CHECK(Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER) == first);
    memset(first, 0xff, PAGE - SLAB_SEGMENT - HEADER);
    CHECK(Mem_Free(first) == 0);
    object = Mem_Alloc(SLAB_SIZE);
    CHECK(object == base);
    memset(object, 0xff, SLAB_SIZE);
    CHECK(Mem_Free(object) == 0);

    CHECK(Mem_Calloc(3, 33) == first);
    CHECK(zeroed(first, 3 * 33));
    CHECK(Mem_Calloc(4, SLAB_SIZE / 4) == base);
    CHECK(zeroed(base, SLAB_SIZE));
    object = Mem_Calloc(1, SLAB_SIZE - 1);
    CHECK(object == first + 112 + HEADER);
    CHECK(zeroed(object, SLAB_SIZE - 1));

    CHECK(refused(0, 5, EINVAL));
    CHECK(refused(5, 0, EINVAL));
    CHECK(refused(-1, 5, EINVAL));
    CHECK(refused(5, -1, EINVAL));
    CHECK(refused(-5, -5, EINVAL));
    CHECK(refused(1 << 16, 1 << 16, ENOMEM)); /* 0 as an int */
    CHECK(refused(INT_MAX, INT_MAX, ENOMEM));
    return 0;
}
