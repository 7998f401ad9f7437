/* A stream of the program's own, whose buffer is the heap's, is written to by one thread, and all streams are flushed by another,
 * while the process makes children, so many of them as the first argument says: by fork, which waits for neither, and by clone,
 * which takes no lock. Every child uses the heap or is told that it cannot; none hangs. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

/* Only what hangs meets it. */
enum { CHILD_SECONDS = 55 };

static atomic_int stop;

static ssize_t keep(void *unused, const char *text, size_t size)
{
    char *copy = Mem_Alloc((int)size + 1);

    (void)unused;
    CHECK(copy != NULL);
    memcpy(copy, text, size);
    CHECK(Mem_Free(copy) == 0);
    return (ssize_t)size;
}

static void *write_on(void *unused)
{
    const cookie_io_functions_t functions = {.write = keep};
    FILE *stream = fopencookie(NULL, "w", functions);

    (void)unused;
    CHECK(stream != NULL);
    CHECK(setvbuf(stream, NULL, _IONBF, 0) == 0);
    while (!stop)
        CHECK(fputs("some words", stream) >= 0);
    CHECK(fclose(stream) == 0);
    return NULL;
}

static void *flush_on(void *unused)
{
    (void)unused;
    while (!stop)
        CHECK(fflush(NULL) == 0);
    return NULL;
}

__attribute__((noreturn)) static void use_the_heap(int may_fail)
{
    void *object;

    alarm(CHILD_SECONDS);
    errno = 0;
    object = Mem_Alloc(100);
    if (object == NULL)
        _exit(may_fail && errno == EDEADLK ? 0 : 1);
    _exit(Mem_Free(object) == 0 ? 0 : 1);
}

int main(int count, char **arguments)
{
    const int forks = count > 1 ? atoi(arguments[1]) : 1000;
    pthread_t writer, flusher;

    CHECK(Mem_Init(1 << 16, SLAB_SIZE) != NULL);
    CHECK(pthread_create(&writer, NULL, write_on, NULL) == 0);
    CHECK(pthread_create(&flusher, NULL, flush_on, NULL) == 0);
    for (int i = 0; i < forks; i++) {
        const int by_clone = i % 2;
        pid_t child = by_clone ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
        int status;

        alarm(CHILD_SECONDS); /* for each of them */
        CHECK(child >= 0);
        if (child == 0)
            use_the_heap(by_clone);
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    stop = 1;
    CHECK(pthread_join(writer, NULL) == 0 && pthread_join(flusher, NULL) == 0);
    CHECK(Mem_Check() == 0);
    return 0;
}
