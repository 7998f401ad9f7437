/* A program's own fork handlers may allocate. This one registers them before main, and more than libc has room for
 * without allocating itself. */
#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

enum { HANDLERS = 200 };

static void *objects[HANDLERS];
static int prepared, after;

static void prepare(void)
{
    objects[prepared] = malloc(100);
    CHECK(objects[prepared] != NULL);
    prepared++;
}

static void give_back(void)
{
    void *object = malloc(200);

    CHECK(object != NULL);
    free(object);
    free(objects[after++]);
}

__attribute__((constructor)) static void register_handlers(void)
{
    for (int i = 0; i < HANDLERS; i++)
        CHECK(pthread_atfork(prepare, give_back, give_back) == 0);
}

int main(void)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    CHECK(prepared == HANDLERS && after == HANDLERS);
    if (child == 0) {
        free(malloc(1000));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}
