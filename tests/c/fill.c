/* The heap is filled to its last granule, every byte of every object is the program's, and no two objects overlap. */
#include <string.h>

#include "check.h"
#include "mem.h"

enum { SPILLED = 38, REST = PAGE - SLAB_SEGMENT - SPILLED * (SLAB_SIZE + HEADER) };

int main(void)
{
    unsigned char *objects[SLOTS + SPILLED], *last;

    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    for (int i = 0; i < SLOTS + SPILLED; i++) {
        objects[i] = Mem_Alloc(SLAB_SIZE);
        CHECK(objects[i] != NULL);
        memset(objects[i], i + 1, SLAB_SIZE);
    }
    CHECK(Mem_Alloc(SLAB_SIZE) == NULL);
    CHECK(REST == 32);
    CHECK(Mem_Alloc(REST - HEADER + 1) == NULL);
    last = Mem_Alloc(REST - HEADER);
    CHECK(last != NULL);
    memset(last, 0xff, REST - HEADER);
    CHECK(Mem_Alloc(1) == NULL);

    for (int i = 0; i < SLOTS + SPILLED; i++) {
        for (int byte = 0; byte < SLAB_SIZE; byte++)
            CHECK(objects[i][byte] == i + 1);
        CHECK(Mem_Free(objects[i]) == 0);
    }
    CHECK(Mem_Free(last) == 0);
    CHECK(Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER) != NULL);
    return 0;
}
