/* Forks, so many of them as the first argument says, while four threads allocate from both segments: every child finds a
 * heap that it can use at once, whatever the threads were doing. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

enum { THREADS = 4, KEPT = 8, AT_ONCE = 20, CHILD_SECONDS = 60 };

static atomic_int stop;
static atomic_long turns;

static void *work(void *number)
{
    unsigned state = (unsigned)(size_t)number;
    unsigned char *kept[KEPT] = {0};

    for (int turn = 0; !stop; turn = (turn + 1) % KEPT) {
        state = state * 1103515245 + 12345;
        CHECK(Mem_Free(kept[turn]) == 0);
        kept[turn] = Mem_Alloc(state >> 16 & 1 ? SLAB_SIZE : (int)(state >> 18 & 255) + 1);
        turns++;
    }
    for (int i = 0; i < KEPT; i++)
        CHECK(Mem_Free(kept[i]) == 0);
    return NULL;
}

/* In the child, where a handler of atexit has no business. */
static void use_the_heap(char *shared)
{
    char *slot, *block;
    int right;

    alarm(CHILD_SECONDS);
    slot = Mem_Alloc(SLAB_SIZE);
    block = Mem_Alloc(100);
    right = slot != NULL && block != NULL && strcmp(shared, "parent") == 0;
    right = right && Mem_Free(shared) == 0 && Mem_Free(slot) == 0 && Mem_Free(block) == 0 && Mem_Check() == 0;
    _exit(right ? 0 : 1);
}

int main(int count, char **arguments)
{
    const int forks = count > 1 ? atoi(arguments[1]) : 10000;
    pthread_t threads[THREADS];
    char *shared;

    CHECK(Mem_Init(1 << 16, SLAB_SIZE) != NULL);
    CHECK((shared = Mem_Alloc(32)) != NULL);
    strcpy(shared, "parent");
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
    for (int i = 0; i < forks; i += AT_ONCE) {
        pid_t children[AT_ONCE];

        for (int j = 0; j < AT_ONCE; j++) {
            children[j] = fork();
            CHECK(children[j] >= 0);
            if (children[j] == 0)
                use_the_heap(shared);
        }
        for (int j = 0; j < AT_ONCE; j++) {
            int status;

            CHECK(waitpid(children[j], &status, 0) == children[j]);
            if (status != 0)
                printf("child %d of %d: status %#x\n", i + j, forks, (unsigned)status);
            CHECK(status == 0);
        }
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(Mem_Free(shared) == 0);
    CHECK(Mem_Check() == 0);
    printf("%d forks, %ld turns of the threads\n", forks, (long)turns);
    return 0;
}
