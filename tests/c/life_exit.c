/* The heap serves to the very end: in destructors of thread-specific values, in handlers of atexit, registered before and
 * after Mem_Init, and in a destructor of the program. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

enum { THREADS = 8, ROUNDS = 3 };

static pthread_key_t key;
static char *kept;

/* exit is on its way already. */
static void must(int right, const char *what)
{
    if (!right) {
        printf("not right: %s\n", what);
        fflush(stdout);
        _exit(1);
    }
}

static void use(const char *where)
{
    void *slot = Mem_Alloc(SLAB_SIZE), *block = Mem_Alloc(100);

    must(slot != NULL && block != NULL && Mem_Free(slot) == 0 && Mem_Free(block) == 0, where);
}

static void at_thread_exit(void *object)
{
    unsigned char *bytes = object;

    must(bytes[0] >= 1 && bytes[0] <= ROUNDS && bytes[99] == bytes[0], "a thread's own object");
    use("thread's end");
    if (--bytes[0] > 0) {
        /* libc comes again, as it finds a value again. */
        bytes[99] = bytes[0];
        pthread_setspecific(key, object);
    } else {
        must(Mem_Free(object) == 0, "free at a thread's end");
    }
}

static void *work(void *unused)
{
    unsigned char *object = Mem_Alloc(100);

    (void)unused;
    CHECK(object != NULL);
    memset(object, ROUNDS, 100);
    CHECK(pthread_setspecific(key, object) == 0);
    return NULL;
}

static void early_handler(void)
{
    use("atexit before Mem_Init");
    puts("early handler");
}

static void late_handler(void)
{
    use("atexit after Mem_Init");
    must(strcmp(kept, "kept") == 0 && Mem_Free(kept) == 0, "an object of main's");
    puts("late handler");
}

__attribute__((destructor)) static void at_end(void)
{
    use("destructor");
    must(Mem_Check() == 0, "check");
    puts("destructor");
    fflush(stdout);
}

int main(void)
{
    pthread_t threads[THREADS];

    CHECK(atexit(early_handler) == 0);
    CHECK(Mem_Init(1 << 16, SLAB_SIZE) != NULL);
    CHECK(atexit(late_handler) == 0);
    CHECK((kept = Mem_Alloc(32)) != NULL);
    strcpy(kept, "kept");
    CHECK(pthread_key_create(&key, at_thread_exit) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
