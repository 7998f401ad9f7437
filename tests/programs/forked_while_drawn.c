/* A picture goes into a FIFO, which is full before it is whole, and meanwhile the process forks. The child lives on; and the
 * parent draws its next picture into the same FIFO, whose name is the argument. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "check.h"

static atomic_int drawn;

static void *draw(void *unused)
{
    CHECK(raise(SIGUSR1) == 0);
    drawn = 1;
    return unused;
}

/* Reads until the thread has drawn and nothing is left; whether the picture is whole. */
static int drain(int fifo)
{
    static const char end[] = "</svg>\n";
    static char text[1 << 20];
    size_t size = 0;

    for (;;) {
        int last = drawn;
        ssize_t count = read(fifo, text + size, sizeof text - size);

        if (count > 0)
            size += (size_t)count;
        else if (last)
            break;
        else
            sched_yield();
    }
    return size > sizeof end && memcmp(text + size - strlen(end), end, strlen(end)) == 0;
}

int main(int count, char **arguments)
{
    int fifo, size, waiting = 0;
    pthread_t thread;
    const pid_t parent = getpid();
    pid_t child;

    CHECK(count == 2);
    CHECK((fifo = open(arguments[1], O_RDONLY | O_NONBLOCK)) >= 0);
    CHECK((size = fcntl(fifo, F_SETPIPE_SZ, 4096)) >= 4096);
    CHECK(pthread_create(&thread, NULL, draw, NULL) == 0);
    /* Of what it is given a pipe keeps whole pages: it may be full below its size. */
    while (waiting < size / 2) {
        CHECK(ioctl(fifo, FIONREAD, &waiting) == 0);
        CHECK(!drawn);
        sched_yield();
    }
    CHECK((child = fork()) >= 0);
    if (child == 0) {
        /* It has this process's standard output, too: who waits for that to end is not to wait for ever. */
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        if (getppid() == parent)
            pause();
        _exit(0);
    }
    CHECK(drain(fifo));
    CHECK(pthread_join(thread, NULL) == 0);
    drawn = 0;
    CHECK(pthread_create(&thread, NULL, draw, NULL) == 0);
    CHECK(drain(fifo));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    return 0;
}
