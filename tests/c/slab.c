/* Objects of slab_size lie side by side from the heap's first byte, and the lowest free slot is served first. */
#include "check.h"
#include "mem.h"

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);

    CHECK(base != NULL);
    for (int i = 0; i < SLOTS; i++)
        CHECK(Mem_Alloc(SLAB_SIZE) == base + i * SLAB_SIZE);

    CHECK(Mem_Free(base + 9 * SLAB_SIZE) == 0);
    CHECK(Mem_Free(base + 3 * SLAB_SIZE) == 0);
    CHECK(Mem_Free(base + 15 * SLAB_SIZE) == 0);
    CHECK(Mem_Alloc(SLAB_SIZE) == base + 3 * SLAB_SIZE);
    CHECK(Mem_Alloc(SLAB_SIZE) == base + 9 * SLAB_SIZE);
    CHECK(Mem_Alloc(SLAB_SIZE) == base + 15 * SLAB_SIZE);
    return 0;
}
