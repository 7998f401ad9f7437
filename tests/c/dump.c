/* Mem_Dump shows both segments on standard output. */
#include "check.h"
#include "mem.h"

int main(void)
{
    char *base, *object;

    base = Mem_Init(PAGE, SLAB_SIZE);
    CHECK(base != NULL);
    CHECK(Mem_Alloc(SLAB_SIZE) != NULL);
    CHECK(Mem_Alloc(32) != NULL);
    object = Mem_Alloc(100);
    CHECK(object != NULL);
    CHECK(Mem_Alloc(7) != NULL);
    CHECK(Mem_Free(object) == 0);
    printf("heap at %p\n", (void *)base);
    fflush(stdout);
    Mem_Dump();
    return 0;
}
