/* What is freed goes back to the kernel: by itself when it is much, and all of it by malloc_trim. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define MIB ((size_t)1 << 20)
#define SIZE ((size_t)3000)
#define COUNT (100 * MIB / SIZE)

int main(void)
{
    char **objects = malloc(COUNT * sizeof *objects);
    CHECK(objects != NULL);
    size_t before = resident();
    for (size_t i = 0; i < COUNT; i++) {
        CHECK((objects[i] = malloc(SIZE)) != NULL);
        memset(objects[i], (int)i, SIZE);
    }
    size_t full = resident();
    CHECK(full - before > 95 * MIB);

    /* Every 500th stays. Nothing but frees happens here. */
    for (size_t i = 0; i < COUNT; i++)
        if (i % 500 != 0)
            free(objects[i]);
    size_t freed = resident();
    CHECK(freed - before < 40 * MIB);

    /* All of it now, as the pages were. */
    malloc_trim(0);
    CHECK(resident() - before < 4 * MIB);
    for (size_t i = 0; i < COUNT; i += 500)
        for (size_t byte = 0; byte < SIZE; byte++)
            CHECK(objects[i][byte] == (char)i);
    for (size_t i = 0; i < COUNT; i += 500)
        free(objects[i]);
    char *again = malloc(150 * MIB);
    CHECK(again != NULL);
    memset(again, 1, 150 * MIB);
    free(again);
    CHECK(malloc_trim(0) == 1);
    return 0;
}
