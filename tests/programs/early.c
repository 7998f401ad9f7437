/* The dynamic loader allocates, before main and after: for libraries, and for their thread-local storage. The argument
 * names a copy of the library that this program is linked with. */
#include <dlfcn.h>
#include <pthread.h>

#include "check.h"

char **early(void);
char *touch(void);

static char *(*touch_other)(void);

static void *use_both(void *unused)
{
    CHECK(touch() != touch_other());
    return unused;
}

int main(int count, char **arguments)
{
    CHECK(count == 2 && strcmp(*early(), "made early") == 0);
    *early() = realloc(*early(), 1000);
    CHECK(*early() != NULL && strcmp(*early(), "made early") == 0);
    for (int i = 0; i < 20; i++) {
        void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        pthread_t threads[4];

        CHECK(library != NULL);
        *(void **)&touch_other = dlsym(library, "touch");
        CHECK(touch_other != NULL && touch_other != touch);
        for (int j = 0; j < 4; j++)
            CHECK(pthread_create(&threads[j], NULL, use_both, NULL) == 0);
        for (int j = 0; j < 4; j++)
            CHECK(pthread_join(threads[j], NULL) == 0);
        CHECK(dlclose(library) == 0);
    }
    return 0;
}
