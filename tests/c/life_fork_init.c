/* Forks while threads make the heap. Each round is a process of its own; its children find a heap, or none and make it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

enum { THREADS = 3, FORKS = 6, SECONDS = 30 };

static pthread_barrier_t start;
static atomic_int winners;

static void *init(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&start);
    if (Mem_Init(1 << 16, SLAB_SIZE) != NULL)
        winners++;
    return NULL;
}

static void child_uses_the_heap(void)
{
    void *slot, *block;
    int made, right;

    alarm(SECONDS);
    errno = 0;
    made = Mem_Init(1 << 16, SLAB_SIZE) != NULL;
    right = made || errno == EBUSY;
    right = right && (slot = Mem_Alloc(SLAB_SIZE)) != NULL && (block = Mem_Alloc(100)) != NULL;
    right = right && Mem_Free(slot) == 0 && Mem_Free(block) == 0 && Mem_Check() == 0;
    _exit(right ? made : 99);
}

/* Ends with the number of children that found no heap. */
static void round_of_forks(void)
{
    pthread_t threads[THREADS];
    int status, made = 0;

    alarm(SECONDS);
    if (pthread_barrier_init(&start, NULL, THREADS + 1) != 0)
        _exit(99);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, init, NULL) != 0)
            _exit(99);
    pthread_barrier_wait(&start);
    for (int i = 0; i < FORKS; i++) {
        const pid_t child = fork();

        if (child == 0)
            child_uses_the_heap();
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
            _exit(98);
        made += WEXITSTATUS(status);
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_join(threads[i], NULL) != 0)
            _exit(99);
    _exit(winners == 1 && Mem_Check() == 0 ? made : 97);
}

int main(int count, char **arguments)
{
    const int rounds = count > 1 ? atoi(arguments[1]) : 500;
    int before = 0;

    for (int i = 0; i < rounds; i++) {
        int status;
        const pid_t child = fork();

        CHECK(child >= 0);
        if (child == 0)
            round_of_forks();
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > FORKS)
            printf("round %d: status %#x\n", i, (unsigned)status);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= FORKS);
        before += WEXITSTATUS(status);
    }
    printf("%d children, %d of them from before the heap\n", rounds * FORKS, before);
    return 0;
}
