/* A library that allocates before main, and has more thread-local storage than the loader sets aside. */
#include "check.h"

static char *made_early;
static __thread char storage[8192] = "initial";

__attribute__((constructor)) static void make(void)
{
    made_early = strdup("made early");
    CHECK(made_early != NULL);
}

__attribute__((destructor)) static void unmake(void)
{
    free(made_early);
}

char **early(void)
{
    return &made_early;
}

char *touch(void)
{
    CHECK(strcmp(storage, "initial") == 0);
    storage[0] = 'I';
    return storage;
}
