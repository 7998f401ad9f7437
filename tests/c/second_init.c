/* There is one heap, and a second Mem_Init neither replaces nor harms it. */
#include <string.h>

#include "check.h"
#include "mem.h"

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *object;

    CHECK(base != NULL);
    object = Mem_Alloc(100);
    CHECK(object == base + SLAB_SEGMENT + HEADER);
    memset(object, 0x5a, 100);

    CHECK(Mem_Init(PAGE, SLAB_SIZE) == NULL);
    CHECK(Mem_Init(1 << 20, 32) == NULL);
    CHECK(Mem_Init(0, 0) == NULL);

    for (int i = 0; i < 100; i++)
        CHECK(object[i] == 0x5a);
    CHECK(Mem_Free(object) == 0);
    CHECK(Mem_Alloc(100) == object);
    return 0;
}
