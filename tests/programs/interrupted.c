/* A signal handler that interrupted its own thread in the heap, where malloc answers null, does more than it should: it frees
 * an object, as often as there are frees to do ("free", or "trim" where pages are given back meanwhile, and another thread
 * allocates), or ends the process ("exit", with status 3). */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "check.h"

enum { FREES = 5, SECONDS = 30 };

static const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
static char *mine;
static int exits, trims;

static volatile sig_atomic_t frees;

static void handler(int number)
{
    const int saved = errno;
    void *object = malloc(48);

    (void)number;
    if (object != NULL) {
        free(object);
    } else if (exits) {
        setitimer(ITIMER_VIRTUAL, &never, NULL);
        exit(3);
    } else if (frees < FREES) {
        frees++;
        free(mine);
    }
    errno = saved;
}

static void *allocate(void *unused)
{
    (void)unused;
    while (frees < FREES)
        free(malloc(100));
    return NULL;
}

int main(int count, char **arguments)
{
    const time_t end = time(NULL) + SECONDS;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t other;
    sigset_t signals;

    CHECK(count == 2);
    exits = strcmp(arguments[1], "exit") == 0;
    trims = strcmp(arguments[1], "trim") == 0;
    free(malloc(1 << 20));
    mine = malloc(48);
    CHECK(mine != NULL);
    memset(mine, 7, 48);
    printf("%p\n", (void *)mine);
    CHECK(fflush(stdout) == 0);
    alarm(2 * SECONDS); /* what hangs is killed */
    CHECK(sigaction(SIGVTALRM, &action, NULL) == 0);
    if (trims) {
        /* Which no signal interrupts. */
        CHECK(sigemptyset(&signals) == 0 && sigaddset(&signals, SIGVTALRM) == 0);
        CHECK(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
        CHECK(pthread_create(&other, NULL, allocate, NULL) == 0);
        CHECK(pthread_sigmask(SIG_UNBLOCK, &signals, NULL) == 0);
    }
    CHECK(setitimer(ITIMER_VIRTUAL, &often, NULL) == 0);
    while (frees < FREES && time(NULL) < end) {
        for (int i = 0; i < 1000; i++) {
            void *object = trims ? NULL : malloc(32);

            CHECK(trims ? malloc_trim(0) == 1 : object != NULL);
            free(object);
        }
    }
    CHECK(setitimer(ITIMER_VIRTUAL, &never, NULL) == 0);
    CHECK(frees == FREES);
    CHECK(!trims || pthread_join(other, NULL) == 0);
    CHECK(is_filled(mine, 7, 48));
    free(mine);
    return 0;
}
