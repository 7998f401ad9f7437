/* Two to sixteen threads that allocate, stamp, pass on, verify and free; in every round some of them end early, by
 * themselves or by pthread_cancel, and their cleanup frees what they have. Nothing is lost. The first argument is the seed. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { MOST = 16, PLACES = 64, OPERATIONS = 4000, ROUNDS = 6, HEAP = 1 << 16 };

struct object { unsigned char stamp; int size; unsigned char bytes[]; };

static _Atomic(struct object *) places[PLACES];
static atomic_long served, cancelled;

static void release(void *object)
{
    struct object *own = object;

    if (own == NULL)
        return;
    for (int i = 0; i < own->size; i++)
        CHECK(own->bytes[i] == own->stamp);
    CHECK(Mem_Free(own) == 0);
}

static struct object *get(unsigned random)
{
    const int bytes = random & 1 ? SLAB_SIZE : (int)sizeof(struct object) + (int)(random >> 1 & 255);
    struct object *object = Mem_Alloc(bytes);

    if (object != NULL) {
        object->size = bytes - (int)sizeof(struct object);
        object->stamp = (unsigned char)(random >> 9);
        memset(object->bytes, object->stamp, (size_t)object->size);
        served++;
    }
    return object;
}

/* Until it is passed on, the object belongs to the cleanup. */
__attribute__((noinline)) static void pass_on(struct object *const object, _Atomic(struct object *) *place)
{
    pthread_cleanup_push(release, object);
    pthread_testcancel();
    pthread_cleanup_pop(0);
    release(atomic_exchange(place, object));
}

static void *work(void *number)
{
    unsigned state = (unsigned)(size_t)number;
    const int end = state % 3 == 0 ? OPERATIONS / 2 : OPERATIONS;

    for (int i = 0; i < end; i++) {
        state = state * 1103515245 + 12345;
        pass_on(get(state >> 8), &places[(state >> 4) % PLACES]);
    }
    return NULL;
}

static void round_of(int threads, unsigned *state)
{
    pthread_t players[MOST];

    for (int i = 0; i < threads; i++) {
        *state = *state * 1103515245 + 12345;
        CHECK(pthread_create(&players[i], NULL, work, (void *)(size_t)(*state >> 4)) == 0);
    }
    for (int i = 0; i < threads; i += 2) {
        sched_yield();
        CHECK(pthread_cancel(players[i]) == 0);
    }
    for (int i = 0; i < threads; i++) {
        void *result;

        CHECK(pthread_join(players[i], &result) == 0);
        cancelled += result == PTHREAD_CANCELED;
    }
    CHECK(Mem_Check() == 0);
}

int main(int count, char **arguments)
{
    const unsigned seed = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 1;
    unsigned state = seed;
    int slots = 0;

    printf("seed %u\n", seed);
    CHECK(Mem_Init(HEAP, SLAB_SIZE) != NULL);
    for (int threads = 2; threads <= MOST; threads += 2)
        for (int i = 0; i < ROUNDS; i++)
            round_of(threads, &state);
    for (int i = 0; i < PLACES; i++)
        release(places[i]);
    /* Nothing was lost: all slots and one block of all the rest are free. */
    for (; slots < HEAP / 4 / SLAB_SIZE; slots++)
        CHECK(Mem_Alloc(SLAB_SIZE) != NULL);
    CHECK(Mem_Alloc(HEAP / 4 * 3 - HEADER) != NULL);
    CHECK(Mem_Alloc(1) == NULL);
    CHECK(cancelled > 0);
    printf("%ld objects, %ld threads cancelled\n", (long)served, (long)cancelled);
    return 0;
}
