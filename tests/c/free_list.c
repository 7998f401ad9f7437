/* The free lists lie in the heap, in address order, for any program to walk. */
#include "check.h"
#include "mem.h"

/* Checks one free block or slot, and goes on to the next. */
static struct FreeHeader *step(struct FreeHeader *at, char *address, int length)
{
    CHECK((char *)at == address);
    CHECK(at->length == length);
    return at->next;
}

static void next_fit(char *segment)
{
    struct FreeHeader *at = (struct FreeHeader *)segment;
    char *objects[6];

    /* At first one block. */
    CHECK(step(at, segment, PAGE - SLAB_SEGMENT - HEADER) == NULL);

    for (int i = 0; i < 6; i++)
        objects[i] = Mem_Alloc(32); /* 48 bytes each */
    at = (struct FreeHeader *)(segment + 6 * 48);
    CHECK(step(at, segment + 6 * 48, PAGE - SLAB_SEGMENT - 6 * 48 - HEADER) == NULL);

    /* Freed out of order, listed in order. */
    CHECK(Mem_Free(objects[4]) == 0);
    CHECK(Mem_Free(objects[0]) == 0);
    CHECK(Mem_Free(objects[2]) == 0);
    at = (struct FreeHeader *)segment;
    at = step(at, segment, 32);
    at = step(at, segment + 2 * 48, 32);
    at = step(at, segment + 4 * 48, 32);
    CHECK(step(at, segment + 6 * 48, PAGE - SLAB_SEGMENT - 6 * 48 - HEADER) == NULL);

    /* Neighbours are one. */
    CHECK(Mem_Free(objects[1]) == 0);
    at = (struct FreeHeader *)segment;
    at = step(at, segment, 3 * 48 - HEADER);
    at = step(at, segment + 4 * 48, 32);
    CHECK(step(at, segment + 6 * 48, PAGE - SLAB_SEGMENT - 6 * 48 - HEADER) == NULL);

    /* Taken from the front of the last block: the list leads to the rest of it. */
    CHECK(Mem_Alloc(100) == segment + 6 * 48 + HEADER);
    at = (struct FreeHeader *)(segment + 4 * 48);
    at = step(at, segment + 4 * 48, 32);
    CHECK(step(at, segment + 6 * 48 + 128, PAGE - SLAB_SEGMENT - 6 * 48 - 128 - HEADER) == NULL);
}

static void slab(char *segment)
{
    struct FreeHeader *at;
    char *slots[SLOTS];

    for (int i = 0; i < SLOTS; i++)
        slots[i] = Mem_Alloc(SLAB_SIZE);
    CHECK(slots[0] == segment);
    CHECK(Mem_Free(slots[9]) == 0);
    CHECK(Mem_Free(slots[15]) == 0);
    CHECK(Mem_Free(slots[2]) == 0);
    at = (struct FreeHeader *)slots[2];
    at = step(at, slots[2], SLAB_SIZE);
    at = step(at, slots[9], SLAB_SIZE);
    CHECK(step(at, slots[15], SLAB_SIZE) == NULL);
}

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);

    CHECK(base != NULL);
    next_fit(base + SLAB_SEGMENT);
    slab(base);
    return 0;
}
