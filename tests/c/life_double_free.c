/* Two threads free the same object at once, a slot or a block in turn: one is told 0, the other -1. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

enum { ROUNDS = 20000 };

static void *volatile object;
static atomic_int arrived;
static int answers[2];

/* Both leave at once: a barrier of libc would let one go well before the other. */
static void meet(int turn)
{
    arrived++;
    for (int spins = 0; arrived < 2 * turn; spins++)
        if (spins > 1000)
            usleep(1);
}

static void *release(void *number)
{
    const size_t me = (size_t)number;

    for (int i = 0; i < ROUNDS; i++) {
        if (me == 0)
            object = Mem_Alloc(i % 2 ? SLAB_SIZE : 100);
        meet(3 * i + 1);
        answers[me] = Mem_Free(object);
        meet(3 * i + 2);
        CHECK(answers[0] + answers[1] == -1 && answers[0] * answers[1] == 0);
        meet(3 * i + 3);
    }
    return NULL;
}

int main(void)
{
    const int null = open("/dev/null", O_WRONLY);
    pthread_t threads[2];
    struct mem_stats stats;

    CHECK(Mem_Init(1 << 16, SLAB_SIZE) != NULL);
    /* A line for every refusal. */
    CHECK(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, release, (void *)i) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(Mem_Check() == 0);
    CHECK(Mem_Stats(&stats) == 0);
    CHECK(stats.slab.refused_frees == ROUNDS / 2 && stats.next_fit.refused_frees == ROUNDS / 2);
    CHECK(stats.slab.live_objects == 0 && stats.next_fit.live_objects == 0);
    return 0;
}
