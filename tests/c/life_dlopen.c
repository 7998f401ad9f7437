/* Loads and unloads the library that the first argument names, 1000 times. The heap is the process's: it stays, with its
 * objects, and nothing is mapped a second time. */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "check.h"

enum { ROUNDS = 1000 };

static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int lines = 0;

    CHECK(maps != NULL);
    for (int byte; (byte = getc(maps)) != EOF;)
        lines += byte == '\n';
    fclose(maps);
    return lines;
}

/* Any function: C has no cast from dlsym's answer to it. */
static void find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);

    CHECK(symbol != NULL);
    memcpy(function, &symbol, sizeof symbol);
}

int main(int count, char **arguments)
{
    char *kept = NULL;
    int first = 0;

    CHECK(count == 2);
    for (int i = 0; i < ROUNDS; i++) {
        void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        void *(*init)(int, int), *(*alloc)(int), *object;
        int (*release)(void *);

        CHECK(library != NULL);
        find(library, "Mem_Init", &init);
        find(library, "Mem_Alloc", &alloc);
        find(library, "Mem_Free", &release);
        errno = 0;
        CHECK(i == 0 ? init(1 << 20, 64) != NULL : init(1 << 20, 64) == NULL && errno == EBUSY);
        if (i == 0)
            CHECK((kept = strcpy(alloc(100), "kept")) != NULL);
        CHECK((object = alloc(64)) != NULL);
        CHECK(release(object) == 0);
        if (i == ROUNDS - 1)
            CHECK(release(kept) == 0);
        else
            CHECK(strcmp(kept, "kept") == 0);
        CHECK(dlclose(library) == 0);
        if (i < 2)
            first = mappings();
    }
    CHECK(mappings() == first);
    printf("%d rounds, %d mappings after the second and after the last\n", ROUNDS, first);
    return 0;
}
