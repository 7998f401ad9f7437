/* Slots of the slab that were freed do not keep their pages: most go back by themselves, all but a few by malloc_trim, and those
 * that stay hold what they held. Needs SLABFIT_SLAB=64. */
#include <malloc.h>

#include "check.h"

#define MIB ((size_t)1 << 20)

enum { COUNT = 400000, SIZE = 64, KEPT = 1000 };

static char *slots[COUNT];

static void fill(void)
{
    for (int i = 0; i < COUNT; i++) {
        CHECK((slots[i] = malloc(SIZE)) != NULL);
        memset(slots[i], i, SIZE);
    }
}

int main(void)
{
    size_t before;

    memset(slots, 1, sizeof slots);
    free(malloc(10000));
    resident();
    before = resident();
    fill();
    CHECK(resident() > before + 24 * MIB);
    /* Every 1000th stays. */
    for (int i = 0; i < COUNT; i++)
        if (i % KEPT != 0)
            free(slots[i]);
    CHECK(resident() < before + 9 * MIB);
    CHECK(malloc_trim(0) == 1);
    /* 400 pages, and the bookkeeping. */
    CHECK(resident() < before + 3 * MIB);
    for (int i = 0; i < COUNT; i += KEPT) {
        for (int byte = 0; byte < SIZE; byte++)
            CHECK(slots[i][byte] == (char)i);
        free(slots[i]);
    }
    /* All of it, twice: the free slots are as good as they were. */
    for (int round = 0; round < 2; round++) {
        fill();
        for (int i = 0; i < COUNT; i++)
            free(slots[i]);
        malloc_trim(0);
        CHECK(resident() < before + MIB);
    }
    return 0;
}
