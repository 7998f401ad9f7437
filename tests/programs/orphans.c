/* While threads allocate all the time the process makes children past the handlers of fork, in the way that the first argument
 * names, as often as the second one says. A child gets its memory, or null and ENOMEM where another thread was in the heap; and
 * so do its threads and its own children. None hangs, and nobody is told of a wrong free. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"

/* Only what hangs meets it. */
enum { THREADS = 3, OBJECTS = 50, SECONDS = 30 };

static atomic_int done;
static char *inherited;

static void work(int may_fail)
{
    char *objects[OBJECTS];

    for (int i = 0; i < OBJECTS; i++) {
        errno = 0;
        objects[i] = malloc(i % 3 == 0 ? 64 : 10 + 7 * (size_t)i);
        if (objects[i] == NULL) {
            CHECK(may_fail && errno == ENOMEM);
            continue;
        }
        *objects[i] = (char)i;
    }
    for (int i = 0; i < OBJECTS; i++)
        free(objects[i]);
}

static void *work_on(void *unused)
{
    while (!done)
        work(0);
    return unused;
}

static void *work_once(void *unused)
{
    work(1);
    return unused;
}

static pid_t by_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static pid_t make(const char *way)
{
    if (strcmp(way, "clone") == 0)
        return by_clone();
    CHECK(strcmp(way, "_Fork") == 0);
    return _Fork();
}

static void ends_well(pid_t child)
{
    int status;

    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

__attribute__((noreturn)) static void live(int depth)
{
    pthread_t thread;
    pid_t child;

    alarm(SECONDS);
    CHECK(strcmp(inherited, "parent") == 0);
    work(1);
    free(inherited);
    if (depth == 0) {
        /* A thread of its own, if there is memory for one. */
        if (pthread_create(&thread, NULL, work_once, NULL) == 0) {
            work(1);
            CHECK(pthread_join(thread, NULL) == 0);
        }
        if ((inherited = strdup("parent")) == NULL)
            _exit(0);
        if ((child = fork()) == 0)
            live(1);
        ends_well(child);
        if ((child = by_clone()) == 0)
            live(1);
        ends_well(child);
    }
    work(1);
    _exit(0);
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS];

    CHECK(count == 3);
    CHECK((inherited = strdup("parent")) != NULL);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work_on, NULL) == 0);
    for (int i = 0; i < atoi(arguments[2]); i++) {
        alarm(SECONDS); /* for each of them */
        if (strcmp(arguments[1], "vfork") == 0) {
            pid_t sharing = vfork();

            /* As it shares its parent's memory, it may only end. */
            if (sharing == 0)
                _exit(0);
            ends_well(sharing);
        } else {
            pid_t child = make(arguments[1]);

            if (child == 0)
                live(i % 8 != 0);
            ends_well(child);
        }
    }
    done = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    work(0);
    return 0;
}
