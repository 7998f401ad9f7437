/* A thread that allocates nothing frees what the main thread allocates, through a few places that both know. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "check.h"

enum { OBJECTS = 100000, PLACES = 64 };

static _Atomic(unsigned char *) places[PLACES];

static void *consume(void *unused)
{
    for (int i = 0; i < OBJECTS; i++) {
        unsigned char *object;

        while ((object = atomic_exchange(&places[i % PLACES], NULL)) == NULL)
            sched_yield();
        CHECK(is_filled(object, i & 255, 1 + (size_t)i % 400));
        free(object);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, consume, NULL) == 0);
    for (int i = 0; i < OBJECTS; i++) {
        unsigned char *object = malloc(1 + (size_t)i % 400);

        CHECK(object != NULL);
        memset(object, i & 255, 1 + (size_t)i % 400);
        while (atomic_load(&places[i % PLACES]) != NULL)
            sched_yield();
        atomic_store(&places[i % PLACES], object);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
