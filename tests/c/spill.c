/* A full slab sends objects of slab_size to next fit, and each is freed where it lies. */
#include "check.h"
#include "mem.h"

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *slots[SLOTS], *spilled, *second;

    CHECK(base != NULL);
    for (int i = 0; i < SLOTS; i++)
        slots[i] = Mem_Alloc(SLAB_SIZE);
    spilled = Mem_Alloc(SLAB_SIZE);
    CHECK(spilled == base + SLAB_SEGMENT + HEADER);
    second = Mem_Alloc(SLAB_SIZE);
    CHECK(second == spilled + SLAB_SIZE + HEADER);

    /* A free slot is preferred to next fit again, and a spilled object's place goes back to next fit. */
    CHECK(Mem_Free(slots[5]) == 0);
    CHECK(Mem_Free(spilled) == 0);
    CHECK(Mem_Alloc(SLAB_SIZE) == slots[5]);
    CHECK(Mem_Alloc(SLAB_SIZE) == second + SLAB_SIZE + HEADER);
    return 0;
}
