/* A signal handler that allocates, which no standard allows, never hangs: in the middle of its own thread's call it gets
 * null. It may even fork there, three times or as often as the argument says. */
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"

enum { ENOUGH = 20, SECONDS = 30 };

static int most_forks = 3;

static volatile sig_atomic_t refused, wrong, forks;

static void handler(int number)
{
    const int saved = errno;
    void *object;

    (void)number;
    errno = 0;
    object = malloc(48);
    if (object != NULL) {
        free(object);
    } else {
        refused++;
        wrong |= errno != ENOMEM;
        if (forks < most_forks) {
            /* The child goes on in the call that was interrupted, and then ends in main. */
            forks++;
            fork();
        }
    }
    errno = saved;
}

int main(int count, char **arguments)
{
    const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    const time_t end = time(NULL) + SECONDS;
    const pid_t parent = getpid();
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    int status;

    if (count > 1)
        most_forks = atoi(arguments[1]);
    alarm(2 * SECONDS); /* what hangs is killed */
    CHECK(sigaction(SIGVTALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_VIRTUAL, &often, NULL) == 0);
    while ((refused < ENOUGH || forks < most_forks) && time(NULL) < end && getpid() == parent) {
        for (int i = 0; i < 1000; i++) {
            void *object = malloc(32);

            CHECK(object != NULL);
            free(object);
        }
    }
    CHECK(setitimer(ITIMER_VIRTUAL, &never, NULL) == 0);
    free(malloc(48));
    free(malloc(64));
    if (getpid() != parent)
        _exit(0);
    for (int i = 0; i < forks; i++)
        CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(refused >= ENOUGH);
    CHECK(!wrong);
    return 0;
}
