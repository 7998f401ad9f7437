/* Threads are born and die, leave objects to those that come after them, and free what others made. */
#include <pthread.h>

#include "check.h"

enum { GENERATIONS = 60, THREADS = 12, OBJECTS = 300, BOX = 4096 };

struct object {
    size_t size;
    unsigned char mark;
    unsigned char bytes[];
};

/* Objects on the way from one thread to another. */
static struct object *box[BOX];
static pthread_mutex_t box_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;

static unsigned next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static struct object *make(unsigned *state)
{
    const size_t size = next(state) % 5 == 0 ? 64 - sizeof(struct object) : next(state) % 900;
    struct object *object = malloc(sizeof *object + size);

    CHECK(object != NULL);
    object->size = size;
    object->mark = (unsigned char)next(state);
    memset(object->bytes, object->mark, size);
    return object;
}

static struct object *exchange(struct object *object, unsigned place)
{
    struct object *other;

    pthread_mutex_lock(&box_lock);
    other = box[place % BOX];
    box[place % BOX] = object;
    pthread_mutex_unlock(&box_lock);
    return other;
}

static void use_up(void *pointer)
{
    struct object *object = pointer;

    if (object != NULL) {
        CHECK(is_filled(object->bytes, object->mark, object->size));
        free(object);
    }
}

static void *life(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed;

    /* Freed by the thread's end. */
    CHECK(pthread_setspecific(key, make(&state)) == 0);
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = exchange(make(&state), next(&state));

        if (object != NULL && next(&state) % 4 == 0) {
            const size_t size = next(&state) % 2000;
            struct object *resized = realloc(object, sizeof *object + size);

            CHECK(resized != NULL);
            CHECK(is_filled(resized->bytes, resized->mark, size < resized->size ? size : resized->size));
            resized->size = size;
            memset(resized->bytes, resized->mark, size);
            object = resized;
        }
        use_up(object);
    }
    return make(&state);
}

int main(void)
{
    pthread_t threads[THREADS];

    CHECK(pthread_key_create(&key, use_up) == 0);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, life, (void *)(generation * 1000 + i)) == 0);
        for (int i = 0; i < THREADS; i++) {
            void *last;

            CHECK(pthread_join(threads[i], &last) == 0);
            use_up(last);
        }
    }
    for (unsigned place = 0; place < BOX; place++)
        use_up(exchange(NULL, place));
    return 0;
}
