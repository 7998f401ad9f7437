/* Of sixteen threads that call Mem_Init at once exactly one gets the heap. */
#include <pthread.h>

#include "check.h"
#include "mem.h"

enum { THREADS = 16 };

static pthread_barrier_t start;

static void *init(void *result)
{
    pthread_barrier_wait(&start);
    *(void **)result = Mem_Init(PAGE, SLAB_SIZE);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    void *results[THREADS], *base = NULL;
    int winners = 0;

    CHECK(pthread_barrier_init(&start, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, init, &results[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        if (results[i] != NULL) {
            winners++;
            base = results[i];
        }
    }
    CHECK(winners == 1);
    CHECK(Mem_Alloc(SLAB_SIZE) == base);
    return 0;
}
