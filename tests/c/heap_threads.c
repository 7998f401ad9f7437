/* Threads share one heap and have one each, and none gets in the way of another. */
#include <pthread.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { THREADS = 4, ROUNDS = 20000, OBJECTS = 32 };

static struct mem_heap *shared;
static _Alignas(64) char buffers[THREADS][32768];

struct place { struct mem_heap *heap; unsigned char *object; size_t size; unsigned char stamp; };

static void give_back(struct place *place)
{
    for (size_t i = 0; i < place->size; i++)
        CHECK(place->object[i] == place->stamp);
    CHECK(mem_heap_free(place->heap, place->object) == 0);
}

static void *work(void *number)
{
    size_t state = (size_t)number + 1;
    struct mem_heap *own = mem_heap_create_in(buffers[(size_t)number], sizeof buffers[0], SLAB_SIZE, MEM_FIRST_FIT);
    struct place places[OBJECTS];

    CHECK(own != NULL);
    memset(places, 0, sizeof places);
    for (int round = 0; round < ROUNDS; round++) {
        struct place *place = &places[state >> 10 & (OBJECTS - 1)];

        if (place->object != NULL)
            give_back(place);
        place->heap = state >> 20 & 1 ? own : shared;
        place->size = state >> 21 & 1 ? SLAB_SIZE : (state >> 22 & 255) + 1;
        place->stamp = (unsigned char)round;
        place->object = mem_heap_alloc(place->heap, place->size);
        CHECK(place->object != NULL);
        memset(place->object, place->stamp, place->size);
        state = (state * 1103515245 + 12345) & 0x7fffffff;
    }
    for (int i = 0; i < OBJECTS; i++)
        if (places[i].object != NULL)
            give_back(&places[i]);
    CHECK(mem_heap_check(own) == 0);
    CHECK(mem_heap_destroy(own) == 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct mem_stats stats;

    shared = mem_heap_create(1 << 20, SLAB_SIZE, 0);
    CHECK(shared != NULL);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(mem_heap_check(shared) == 0);
    CHECK(mem_heap_stats(shared, &stats) == 0);
    CHECK(stats.slab.live_objects == 0 && stats.next_fit.live_objects == 0);
    CHECK(stats.next_fit.largest_free == stats.next_fit.size);
    CHECK(mem_heap_destroy(shared) == 0);
    return 0;
}
