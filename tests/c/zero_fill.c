/* An object of slab_size is zeroed, from whichever segment it comes and whatever lay there before. */
#include <string.h>

#include "check.h"
#include "mem.h"

enum { SIZE = 100, OBJECTS = 9 + 20 };

int main(void)
{
    unsigned char *objects[OBJECTS];

    CHECK(Mem_Init(PAGE, SIZE) != NULL);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < OBJECTS; i++) {
            objects[i] = Mem_Alloc(SIZE);
            CHECK(objects[i] != NULL);
            for (int byte = 0; byte < SIZE; byte++)
                CHECK(objects[i][byte] == 0);
            memset(objects[i], 0xee, SIZE);
        }
        for (int i = 0; i < OBJECTS; i++)
            CHECK(Mem_Free(objects[i]) == 0);
    }
    return 0;
}
