/* What was freed goes back to the kernel by itself, whoever has seen it live: large objects when they are freed, smaller ones
 * with the next frees, again and again. */
#include "check.h"

#define MIB ((size_t)1 << 20)

static void come_and_go(size_t count)
{
    while (count-- > 0) {
        char *object = malloc(100);

        CHECK(object != NULL);
        *(volatile char *)object = 1;
        free(object);
    }
}

/* Makes so many objects, all written, and frees them. */
static void use(char **objects, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        CHECK((objects[i] = malloc(size)) != NULL);
        memset(objects[i], (int)i + 1, size);
    }
    for (size_t i = 0; i < count; i++)
        free(objects[i]);
}

int main(void)
{
    static char *objects[1 << 20];
    size_t before;

    /* The table's own pages, and what stdio needs. */
    memset(objects, 0, sizeof objects);
    resident();
    before = resident();

    /* Ten large ones, and no other free: most of it is back at once; and all of it with some small ones. */
    for (int round = 0; round < 3; round++) {
        use(objects, 10, 20 * MIB);
        CHECK(resident() < before + 30 * MIB);
        come_and_go(20000);
        CHECK(resident() < before + 4 * MIB);
    }
    /* Fewer than there ever were, so that the most there ever was says nothing. */
    use(objects, 3, 20 * MIB);
    come_and_go(20000);
    CHECK(resident() < before + 4 * MIB);
    /* One that grows and moves. */
    char *object = malloc(64 << 10);
    for (size_t size = 64 << 10; size <= 64 * MIB; size *= 2) {
        CHECK((object = realloc(object, size)) != NULL);
        memset(object, 1, size);
        CHECK((objects[0] = malloc(100)) != NULL); /* in its way */
    }
    CHECK(resident() < before + 110 * MIB);
    /* Shrunk where it stands. */
    CHECK((object = realloc(object, 100)) != NULL);
    come_and_go(20000);
    CHECK(resident() < before + 4 * MIB);
    free(object);
    /* Of every size below what counts as large, in fewer frees than are looked at. */
    for (size_t size = 1000; size < 64 << 10; size *= 2) {
        use(objects, 40 * MIB / size, size);
        come_and_go(20000);
        CHECK(resident() < before + 6 * MIB);
    }
    return 0;
}
