/* While threads allocate all the time the process forks, 300 times or as often as the argument says, and each child's heap
 * is whole: it allocates and frees, makes threads that do, and forks itself. No child hangs. */
#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

enum { THREADS = 3, OBJECTS = 50, SECONDS = 20 };

static volatile int done;

static void work(int rounds)
{
    char *objects[OBJECTS];

    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < OBJECTS; i++) {
            objects[i] = malloc(i % 3 == 0 ? 64 : 10 + 7 * (size_t)i);
            CHECK(objects[i] != NULL);
            *objects[i] = (char)i;
        }
        for (int i = 0; i < OBJECTS; i++) {
            CHECK(*objects[i] == (char)i);
            free(objects[i]);
        }
    }
}

static void *work_on(void *unused)
{
    while (!done)
        work(1);
    return unused;
}

static void *work_once(void *unused)
{
    work(2);
    return unused;
}

static int ended_well(pid_t child)
{
    int status;

    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

__attribute__((noreturn)) static void live_as_child(char *inherited, int again)
{
    pthread_t thread;

    alarm(SECONDS); /* a child that hangs is killed, and so its parent told */
    CHECK(strcmp(inherited, "parent") == 0);
    free(inherited);
    work(2);
    CHECK(pthread_create(&thread, NULL, work_once, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    if (again) {
        char *object = strdup("parent");
        pid_t child = fork();

        CHECK(child >= 0);
        if (child == 0)
            live_as_child(object, 0);
        CHECK(ended_well(child));
    }
    _exit(0);
}

int main(int count, char **arguments)
{
    const int forks = count > 1 ? atoi(arguments[1]) : 300;
    pthread_t threads[THREADS];
    char *object = strdup("parent");

    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work_on, NULL) == 0);
    for (int i = 0; i < forks; i++) {
        pid_t child = fork();

        CHECK(child >= 0);
        if (child == 0)
            live_as_child(object, i % 10 == 0);
        work(1);
        CHECK(ended_well(child));
    }
    done = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(strcmp(object, "parent") == 0);
    free(object);
    return 0;
}
