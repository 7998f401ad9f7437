/* The worked example: 64 requests of 32 bytes fill the block segment, and two neighbours freed serve 55 bytes. */
#include "check.h"
#include "mem.h"

int main(void)
{
    char *base = Mem_Init(4096, 64);
    char *objects[64];

    CHECK(base != NULL);
    for (int i = 0; i < 64; i++) {
        objects[i] = Mem_Alloc(32);
        CHECK(objects[i] == base + 1024 + 16 + 48 * i);
    }
    CHECK(Mem_Alloc(32) == NULL);
    CHECK(Mem_Free(objects[13]) == 0);
    CHECK(Mem_Alloc(55) == NULL);
    CHECK(Mem_Free(objects[14]) == 0);
    CHECK(Mem_Alloc(55) == objects[13]);
    return 0;
}
