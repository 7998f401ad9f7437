/* In the middle of its own thread's call a signal handler is refused by every function of a heap, at once and with EDEADLK,
 * and nothing has changed. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "check.h"
#include "mem.h"

enum { ENOUGH = 20, SECONDS = 20, SIZE = 48 };

/* Nothing was done, and errno says why. */
#define REFUSED(call, answer) (errno = 0, (call) == (answer) && errno == EDEADLK)

static struct mem_heap *heap;
static char *mine;

static volatile sig_atomic_t refused, without_slots, wrong;

/* Whether the heap has no object of this size for the handler, which it must say by EDEADLK. */
static int is_refused(size_t size)
{
    void *object;

    errno = 0;
    object = mem_heap_alloc(heap, size);
    wrong |= object != NULL ? mem_heap_free(heap, object) != 0 : errno != EDEADLK;
    return object == NULL;
}

static int note(const struct mem_block *block, void *arg)
{
    (void)block, (void)arg;
    wrong = 1;
    return 0;
}

static void handler(int number)
{
    const int interrupted = errno;
    struct mem_stats stats;

    (void)number;
    if (is_refused(SIZE)) {
        refused++;
        wrong |= !REFUSED(mem_heap_calloc(heap, 3, SIZE), NULL);
        wrong |= !REFUSED(mem_heap_alloc_aligned(heap, 64, SIZE), NULL);
        wrong |= !REFUSED(mem_heap_realloc(heap, mine, 2 * SIZE), NULL);
        wrong |= !REFUSED(mem_heap_free(heap, mine), -1);
        wrong |= !REFUSED(mem_heap_usable_size(heap, mine), 0);
        wrong |= !REFUSED(mem_heap_check(heap), -1);
        wrong |= !REFUSED(mem_heap_repair(heap), -1);
        wrong |= !REFUSED(mem_heap_stats(heap, &stats), -1);
        wrong |= !REFUSED(mem_heap_class_stats(heap, NULL, 0), -1);
        wrong |= !REFUSED(mem_heap_walk(heap, note, NULL), -1);
    }
    if (is_refused(SLAB_SIZE)) {
        without_slots++;
        /* Which the block after it keeps from growing. */
        wrong |= !REFUSED(mem_heap_realloc(heap, mine, SLAB_SIZE), NULL);
    }
    errno = interrupted;
}

int main(void)
{
    const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    const time_t end = time(NULL) + SECONDS;
    struct sigaction action;
    void *behind;

    heap = mem_heap_create(1 << 20, SLAB_SIZE, 0);
    CHECK(heap != NULL);
    mine = mem_heap_alloc(heap, SIZE);
    behind = mem_heap_alloc(heap, SIZE);
    CHECK(mine != NULL && behind != NULL);
    memset(mine, 7, SIZE);
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(SIGVTALRM, &action, NULL) == 0);
    /* Of the time that the program itself takes, so that it gets on however long the handler takes. */
    CHECK(setitimer(ITIMER_VIRTUAL, &often, NULL) == 0);
    while ((refused < ENOUGH || without_slots < ENOUGH) && time(NULL) < end) {
        for (int i = 0; i < 1000; i++) {
            void *object = mem_heap_alloc(heap, i % 2 ? 32 : SLAB_SIZE);

            CHECK(object != NULL);
            CHECK(mem_heap_free(heap, object) == 0);
        }
    }
    CHECK(setitimer(ITIMER_VIRTUAL, &never, NULL) == 0);
    CHECK(refused >= ENOUGH && without_slots >= ENOUGH);
    CHECK(!wrong);
    for (int i = 0; i < SIZE; i++)
        CHECK(mine[i] == 7);
    CHECK(mem_heap_check(heap) == 0);
    CHECK(mem_heap_free(heap, mine) == 0 && mem_heap_free(heap, behind) == 0);
    CHECK(mem_heap_destroy(heap) == 0);
    return 0;
}
