/* An object can hold what was asked for, rounded up to 16, and what was too little for a block of its own. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "mem.h"

static int refused(void *ptr)
{
    errno = 0;
    return Mem_UsableSize(ptr) == 0 && errno == EINVAL;
}

int main(void)
{
    char on_stack, *base = Mem_Init(PAGE, 100), *object;

    CHECK(base != NULL);
    for (size_t size = 1; size < 100; size++) {
        object = Mem_Alloc((int)size);
        CHECK(Mem_UsableSize(object) == (size + 15) / 16 * 16);
        memset(object, 0xaa, Mem_UsableSize(object));
        CHECK(Mem_Free(object) == 0);
    }
    CHECK(Mem_Check() == 0);

    object = Mem_Alloc(100);
    CHECK(object == base);
    CHECK(Mem_UsableSize(object) == 112); /* a slot */
    memset(object, 0xaa, 112);
    object = Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER - 16);
    CHECK(Mem_UsableSize(object) == PAGE - SLAB_SEGMENT - HEADER);
    memset(object, 0xaa, PAGE - SLAB_SEGMENT - HEADER);
    CHECK(Mem_Check() == 0);

    CHECK(refused(&on_stack));
    CHECK(refused(base + 1));
    CHECK(refused(base + 16));
    CHECK(refused(base + 112));
    CHECK(refused(object + 16));
    CHECK(Mem_Free(object) == 0);
    CHECK(refused(object));
    return 0;
}
