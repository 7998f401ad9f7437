/* A signal handler may use the heap: in the middle of its own thread's call it gets NULL or -1 and EDEADLK at once, and
 * never waits. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "check.h"
#include "mem.h"

enum { ENOUGH = 20, SECONDS = 20 };

static volatile sig_atomic_t refused, failed;

static void handler(int number)
{
    const int interrupted = errno;
    void *object;

    (void)number;
    object = Mem_Alloc(48);
    if (object != NULL)
        failed |= Mem_Free(object);
    else if (errno == EDEADLK)
        refused++;
    else
        failed = 1;
    errno = interrupted;
}

int main(void)
{
    const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    const time_t end = time(NULL) + SECONDS;
    struct sigaction action;

    CHECK(Mem_Init(1 << 20, SLAB_SIZE) != NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (refused < ENOUGH && time(NULL) < end) {
        for (int i = 0; i < 1000; i++) {
            void *object = Mem_Alloc(32);

            CHECK(object != NULL);
            CHECK(Mem_Free(object) == 0);
        }
    }
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(refused >= ENOUGH);
    CHECK(!failed);
    return 0;
}
