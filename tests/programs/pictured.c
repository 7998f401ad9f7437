/* Has its heap drawn: SLABFIT_MAP names the files, and SIGUSR1 asks for a picture, except in a fork. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { PICTURES = 100, THREADS = 4, SECONDS = 30 };

static atomic_bool end;

/* A child that ends by itself when its parent is gone. */
static void forked(void)
{
    int ends[2];
    char byte;

    CHECK(pipe(ends) == 0);
    if (fork() == 0) {
        close(ends[1]);
        CHECK(read(ends[0], &byte, 1) == 0);
        free(malloc(100));
    }
}

/* A child that is asked for a picture, and is not the one to draw it. */
static void child(const char *file)
{
    int status;

    if (fork() == 0) {
        CHECK(kill(getpid(), SIGUSR1) == 0);
        CHECK(access(file, F_OK) != 0);
        exit(0);
    }
    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Nobody needs to ask for memory: when the signal is answered, the picture is there. */
static void idle(const char *file)
{
    for (int i = 0; i < 3; i++) {
        errno = 1234;
        CHECK(kill(getpid(), SIGUSR1) == 0);
        CHECK(errno == 1234);
        CHECK(access(file, R_OK) == 0);
        CHECK(unlink(file) == 0);
    }
}

static void *ask_here(void *unused)
{
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
    return unused;
}

/* On the smallest stack that a thread can have. */
static void small_stack(const char *file)
{
    pthread_attr_t attributes;
    pthread_t thread;

    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    CHECK(pthread_create(&thread, &attributes, ask_here, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(access(file, R_OK) == 0);
}

static void *use(void *unused)
{
    while (!end) {
        void *object = malloc(32), *other = malloc(64);

        free(object);
        free(other);
    }
    return unused;
}

/* Asks the thread in which it is given for one picture after the other. */
static void *ask(void *asked)
{
    const char *pattern = getenv("SLABFIT_MAP");
    char file[4096];

    for (int i = 1; i <= PICTURES; i++) {
        snprintf(file, sizeof file, "%.*s%d", (int)strcspn(pattern, "%"), pattern, i);
        CHECK(pthread_kill(*(pthread_t *)asked, SIGUSR1) == 0);
        while (access(file, R_OK) != 0)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    end = true;
    return NULL;
}

/* Most signals meet their thread in the middle of the heap, and none is lost. */
static void busy(void)
{
    pthread_t self = pthread_self(), thread;

    CHECK(pthread_create(&thread, NULL, ask, &self) == 0);
    use(NULL);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Signals come faster than pictures are drawn, to any thread. */
static void crowd(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, use, NULL) == 0);
    for (int i = 0; i < 2 * PICTURES; i++)
        CHECK(kill(getpid(), SIGUSR1) == 0);
    end = true;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int count, char **arguments)
{
    alarm(SECONDS); /* what hangs is killed */
    CHECK(count == 3);
    CHECK(chdir("/") == 0);
    switch (arguments[1][0]) {
    case 'f':
        forked();
        break;
    case 'o':
        child(arguments[2]);
        break;
    case 'i':
        idle(arguments[2]);
        break;
    case 's':
        small_stack(arguments[2]);
        break;
    case 'b':
        busy();
        break;
    case 'c':
        crowd();
        break;
    }
    return 0;
}
