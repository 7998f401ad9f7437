/* Two threads, each in one half of the heap, whose signal handlers want the other half: no handler waits while its thread
 * is in the heap, so nobody waits for ever. Each thread must go on, however slowly, while the signals come. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

enum { BURSTS = 60, BURST = 1000, ENOUGH = 20, MOST_SECONDS = 40 };

static __thread int handler_size;
static __thread void *kept;
static atomic_long turns[2], handled, refused;
static atomic_int stop, failed;

static void handler(int number)
{
    const int interrupted = errno;

    (void)number;
    /* A free can be refused as well: the object is then freed by the next handler. */
    if (kept == NULL)
        kept = Mem_Alloc(handler_size);
    if (kept == NULL || Mem_Free(kept) != 0) {
        refused++;
        failed |= errno != EDEADLK;
    } else {
        kept = NULL;
    }
    handled++;
    errno = interrupted;
}

static void *work(void *number)
{
    const size_t me = (size_t)number;
    const int size = me ? SLAB_SIZE : 32;

    handler_size = me ? 32 : SLAB_SIZE;
    while (!stop) {
        void *object = Mem_Alloc(size);

        CHECK(object != NULL);
        CHECK(Mem_Free(object) == 0);
        turns[me]++;
    }
    return NULL;
}

int main(void)
{
    const struct timespec pause = {0, 1000000};
    const int null = open("/dev/null", O_WRONLY);
    const time_t last = time(NULL) + MOST_SECONDS;
    struct sigaction action;
    pthread_t threads[2];

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(Mem_Init(1 << 20, SLAB_SIZE) != NULL);
    /* A line for every refused free. */
    CHECK(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    while (turns[0] == 0 || turns[1] == 0)
        nanosleep(&pause, NULL);
    for (int burst = 0; burst < BURSTS || (refused < ENOUGH && time(NULL) < last); burst++) {
        const long before[2] = {turns[0], turns[1]};
        const time_t end = time(NULL) + MOST_SECONDS;

        for (int i = 0; i < BURST; i++) {
            CHECK(pthread_kill(threads[0], SIGUSR1) == 0);
            CHECK(pthread_kill(threads[1], SIGUSR1) == 0);
        }
        while ((turns[0] == before[0] || turns[1] == before[1]) && time(NULL) < end)
            nanosleep(&pause, NULL);
        /* On its way since the burst, however busy the machine is. */
        CHECK(turns[0] != before[0] && turns[1] != before[1]);
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(!failed);
    CHECK(refused >= ENOUGH);
    CHECK(Mem_Check() == 0);
    printf("%ld handlers, %ld of them refused\n", (long)handled, (long)refused);
    return 0;
}
