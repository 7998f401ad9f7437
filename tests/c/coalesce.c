/* In whatever order neighbours are freed, what is left is one block. */
#include "check.h"
#include "mem.h"

enum { BLOCKS = 4, PAYLOAD = (PAGE - SLAB_SEGMENT) / BLOCKS - HEADER };

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);

    CHECK(base != NULL);
    for (int order = 0; order < BLOCKS * BLOCKS * BLOCKS * BLOCKS; order++) {
        int turns[BLOCKS] = {order % 4, order / 4 % 4, order / 16 % 4, order / 64};
        char *blocks[BLOCKS], *whole;
        int seen = 0;

        for (int i = 0; i < BLOCKS; i++)
            seen |= 1 << turns[i];
        if (seen != (1 << BLOCKS) - 1)
            continue; /* not an order: a block twice */
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = Mem_Alloc(PAYLOAD);
            CHECK(blocks[i] == base + SLAB_SEGMENT + i * (PAYLOAD + HEADER) + HEADER);
        }
        CHECK(Mem_Alloc(1) == NULL);
        for (int i = 0; i < BLOCKS; i++)
            CHECK(Mem_Free(blocks[turns[i]]) == 0);
        whole = Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER);
        CHECK(whole == blocks[0]);
        CHECK(Mem_Free(whole) == 0);
    }
    return 0;
}
