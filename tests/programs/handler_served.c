/* A signal handler that allocates, and interrupts its thread wherever that is. What it gets is its own, and what the thread has stays
 * as it was. It may get null, and its free may be refused: then the object is lost. */
#include <pthread.h>
#include <signal.h>

#include "check.h"

enum { SIGNALS = 100000, KEPT = 32 };

struct kept {
    unsigned char *object;
    size_t size;
    int byte;
};

static struct kept in_handler[KEPT], in_thread[KEPT];
static volatile sig_atomic_t served;
static volatile int done;

/* Looks at one of the objects and takes another in its place. */
static int renew(struct kept *kept, unsigned number)
{
    struct kept *one = &kept[number % KEPT];

    CHECK(is_filled(one->object, one->byte, one->size));
    free(one->object);
    one->size = 1 + number * 7 % 600;
    one->byte = (int)number & 255;
    one->object = malloc(one->size);
    if (one->object == NULL) {
        one->size = 0;
        return 0;
    }
    memset(one->object, one->byte, one->size);
    return 1;
}

static void handler(int signal)
{
    static unsigned number;
    const int saved = errno;

    (void)signal;
    served += renew(in_handler, number++);
    errno = saved;
}

static void *interrupt(void *thread)
{
    for (int i = 0; i < SIGNALS; i++)
        CHECK(pthread_kill(*(pthread_t *)thread, SIGUSR1) == 0);
    done = 1;
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t self = pthread_self(), other;
    sigset_t signals;

    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(pthread_create(&other, NULL, interrupt, &self) == 0);
    for (unsigned number = 0; !done; number++)
        CHECK(renew(in_thread, number));
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(sigemptyset(&signals) == 0 && sigaddset(&signals, SIGUSR1) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
    for (unsigned i = 0; i < KEPT; i++) {
        CHECK(is_filled(in_thread[i].object, in_thread[i].byte, in_thread[i].size));
        CHECK(is_filled(in_handler[i].object, in_handler[i].byte, in_handler[i].size));
        free(in_thread[i].object);
        free(in_handler[i].object);
    }
    CHECK(served > 0);
    return 0;
}
