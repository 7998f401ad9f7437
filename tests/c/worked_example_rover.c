/* The worked example: after 32 requests of 32 bytes the next one is served after them, not in a gap. */
#include "check.h"
#include "mem.h"

int main(void)
{
    char *base = Mem_Init(4096, 64);
    char *objects[32];

    CHECK(base != NULL);
    for (int i = 0; i < 32; i++) {
        objects[i] = Mem_Alloc(32);
        CHECK(objects[i] != NULL);
    }
    CHECK(Mem_Free(objects[13]) == 0);
    CHECK(Mem_Free(objects[23]) == 0);
    CHECK(Mem_Alloc(32) == objects[31] + 48);
    return 0;
}
