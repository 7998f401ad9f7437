/* Small objects, under the placement that is the argument; and wrong frees of them: says on standard output what is to be said. */
#include <malloc.h>

#include "check.h"

static char *volatile none; /* no compiler sees where it points */

static void refused(const char *address, const char *fault)
{
    none = (char *)(uintptr_t)address;
    dprintf(STDOUT_FILENO, "slabfit: free(%p): %s\n", (void *)none, fault);
    errno = 1234;
    free(none);
    CHECK(errno == 1234);
}

/* Objects that the heap has no old ones of: they lie side by side. */
static void fresh(char **objects, int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        CHECK((objects[i] = malloc(size)) != NULL && is_aligned(objects[i], 16));
        memset(objects[i], i, size);
    }
}

static void of_slots(void)
{
    char *objects[90], *moved;

    /* The first ones fill what the program's start has left. */
    fresh(objects, 90, 100);
    for (int i = 60; i < 80; i++)
        CHECK(malloc_usable_size(objects[i]) == 112);
    /* No header lies between two slots of a run, each of which has 18. */
    int side_by_side = 0;
    for (int i = 1; i < 90; i++)
        side_by_side += objects[i] == objects[i - 1] + 112;
    CHECK(side_by_side >= 90 - 90 / 18 - 1 - 40);

    /* In a size of its class an object stays; in another class it moves. */
    CHECK(realloc(objects[80], 97) == objects[80] && realloc(objects[80], 112) == objects[80]);
    CHECK((moved = realloc(objects[80], 20)) != NULL && moved != objects[80]);
    CHECK(is_filled(moved, 80, 20) && malloc_usable_size(moved) == 32);
    CHECK((moved = realloc(moved, 5000)) != NULL && is_filled(moved, 80, 20));
    free(moved);
    /* An alignment that divides the size of the slot. */
    CHECK((moved = aligned_alloc(64, 64)) != NULL && is_aligned(moved, 64) && malloc_usable_size(moved) == 64);
    free(moved);
    CHECK((moved = calloc(4, 25)) != NULL && is_filled(moved, 0, 100));

    refused(objects[85] + 16, "not the start of an object");
    refused(objects[85] + 96, "not the start of an object");
    refused(objects[85] + 4, "misaligned");
    free(objects[85]);
    refused(objects[85], "double free");
    refused(objects[85] + 16, "double free");
    CHECK(malloc(100) == objects[85]);
    /* The others are as they were. */
    for (int i = 0; i < 90; i++)
        CHECK(i == 80 || i == 85 || is_filled(objects[i], i, 100));
}

static void of_blocks(void)
{
    char *first = malloc(100), *second = malloc(100);

    CHECK(first != NULL && second != NULL && malloc_usable_size(first) >= 112);
    refused(first + 16, "not the start of an object");
    free(second);
    refused(second, "double free");
}

int main(int argc, char **argv)
{
    char *slots[2];

    CHECK(argc == 2);
    fresh(slots, 2, 32);
    if (strcmp(argv[1], "general") == 0) {
        CHECK(slots[1] - slots[0] != 48);
        of_slots();
    } else {
        of_blocks();
    }
    return 0;
}
