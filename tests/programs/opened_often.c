/* Loads the library whose name is the first argument again and again, uses it and lets it go. It is mapped once, and what it
 * was asked to do when a signal comes it does whether anybody has it open or not: it makes the file that the second argument
 * names. */
#include <dlfcn.h>
#include <signal.h>

#include "check.h"

enum { ROUNDS = 200 };

static size_t mapped(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages;

    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages;
}

int main(int count, char **arguments)
{
    size_t first = 0;

    CHECK(count == 3);
    for (int i = 0; i < ROUNDS; i++) {
        void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        void *(*alloc)(size_t), (*give_back)(void *);
        void *object;

        CHECK(library != NULL);
        *(void **)&alloc = dlsym(library, "malloc");
        *(void **)&give_back = dlsym(library, "free");
        CHECK(alloc != NULL && give_back != NULL);
        CHECK((object = alloc(1000)) != NULL);
        give_back(object);
        CHECK(dlclose(library) == 0);
        if (i == 0)
            first = mapped();
    }
    /* What stdio and the loader keep for themselves is little. */
    CHECK(mapped() < first + 1024);
    CHECK(access(arguments[2], F_OK) != 0);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(access(arguments[2], F_OK) == 0);
    return 0;
}
