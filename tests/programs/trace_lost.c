/* Takes its own trace away. The first argument says how, the second is the trace's name; for "cut" without its end, which is
 * the number of the process and ".rep". */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"

/* Files of such numbers are not the program's own. */
enum { FIRST = 301, LAST = 331, PAGE = 4096 };

static void use(int calls)
{
    for (int i = 0; i < calls; i++) {
        void *object = malloc(100);

        CHECK(object != NULL);
        free(object);
    }
}

static void close_all(void)
{
    for (int number = FIRST; number <= LAST; number++)
        close(number);
}

static void wait_for_child(void)
{
    int status;

    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A child's file cannot begin as this one's. This process must not reach what is cut off. */
static void cut(const char *start)
{
    char name[2000];

    use(1000);
    snprintf(name, sizeof name, "%s%d.rep", start, (int)getpid());
    CHECK(truncate(name, PAGE) == 0);
    if (fork() != 0) {
        wait_for_child();
        _exit(0);
    }
    use(10);
    _exit(0);
}

/* A child lets go of a file that is closed. */
static void closed(void)
{
    close_all();
    if (fork() == 0) {
        use(10);
        _exit(0);
    }
    wait_for_child();
    use(10);
}

/* No file is there any more, or another one. */
static void gone(const char *name, int replaced)
{
    close_all();
    CHECK(unlink(name) == 0);
    if (replaced) {
        const int file = open(name, O_CREAT | O_WRONLY, 0666);

        CHECK(file >= 0 && write(file, "mine", 4) == 4);
    }
}

/* The kernel has no room left, and says so by this error or, with 0, by writing nothing. */
static void full(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwrite64, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    use(10000);
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    switch (arguments[1][0]) {
    case 'c':
        cut(arguments[2]);
        break;
    case 'n':
        closed();
        break;
    case 'g':
        gone(arguments[2], 0);
        break;
    case 'r':
        gone(arguments[2], 1);
        break;
    case 'f':
        full(ENOSPC);
        break;
    case 'z':
        full(0);
        break;
    }
    return 0;
}
