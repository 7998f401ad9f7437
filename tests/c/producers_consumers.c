/* Four threads allocate and fill, four others verify and free, on a heap that cannot hold all of it at once. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { PAIRS = 4, OBJECTS = 20000, PLACES = 64 };

struct item { unsigned char *object; int size; unsigned char stamp; };

static struct item queue[PLACES];
static int filled, taken;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void put(struct item item)
{
    pthread_mutex_lock(&mutex);
    while (filled - taken == PLACES)
        pthread_cond_wait(&changed, &mutex);
    queue[filled++ % PLACES] = item;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static struct item take(void)
{
    struct item item;

    pthread_mutex_lock(&mutex);
    while (filled == taken)
        pthread_cond_wait(&changed, &mutex);
    item = queue[taken++ % PLACES];
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return item;
}

static void *produce(void *number)
{
    unsigned state = (unsigned)(size_t)number;

    for (int i = 0; i < OBJECTS; i++) {
        struct item item;

        state = state * 1103515245 + 12345;
        item.size = state >> 16 & 1 ? SLAB_SIZE : (int)(state >> 18 & 255) + 1;
        item.stamp = (unsigned char)(state >> 8);
        while ((item.object = Mem_Alloc(item.size)) == NULL)
            sched_yield();
        memset(item.object, item.stamp, (size_t)item.size);
        put(item);
    }
    return NULL;
}

static void *consume(void *unused)
{
    (void)unused;
    for (int i = 0; i < OBJECTS; i++) {
        struct item item = take();

        for (int byte = 0; byte < item.size; byte++)
            CHECK(item.object[byte] == item.stamp);
        CHECK(Mem_Free(item.object) == 0);
    }
    return NULL;
}

int main(void)
{
    pthread_t producers[PAIRS], consumers[PAIRS];

    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    for (size_t i = 0; i < PAIRS; i++) {
        CHECK(pthread_create(&producers[i], NULL, produce, (void *)(i + 1)) == 0);
        CHECK(pthread_create(&consumers[i], NULL, consume, NULL) == 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        CHECK(pthread_join(producers[i], NULL) == 0);
        CHECK(pthread_join(consumers[i], NULL) == 0);
    }

    /* Nothing was lost: all slots and one block of all the rest are free. */
    for (int i = 0; i < SLOTS; i++)
        CHECK(Mem_Alloc(SLAB_SIZE) != NULL);
    CHECK(Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER) != NULL);
    CHECK(Mem_Alloc(1) == NULL);
    return 0;
}
