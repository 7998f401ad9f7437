/* A signal handler that interrupts its own thread while Mem_Init makes the heap is refused another, at once and with EDEADLK,
 * and Mem_Init goes on. The handler comes after every instruction, on processors that can be asked for it here. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "check.h"
#include "mem.h"

#if defined __x86_64__ || defined __i386__
enum { TRAP_FLAG = 0x100 };

static volatile sig_atomic_t made, in_the_middle, wrong;

static void begin(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void step(int number, siginfo_t *info, void *context)
{
    const int interrupted = errno;
    void *object;

    (void)number, (void)info;
    if (made)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    errno = 0;
    object = Mem_Alloc(1);
    if (object != NULL) {
        wrong |= Mem_Free(object) != 0;
    } else if (errno == EDEADLK) {
        errno = 0;
        wrong |= Mem_Init(PAGE, SLAB_SIZE) != NULL;
        /* Or there is a heap already, which Mem_Init is not done with. */
        wrong |= errno != EDEADLK && errno != EBUSY;
        in_the_middle += errno == EDEADLK;
    }
    errno = interrupted;
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(number, &action, NULL) == 0);
}

int main(void)
{
    void *base;

    handle(SIGUSR1, begin);
    handle(SIGTRAP, step);
    CHECK(raise(SIGUSR1) == 0);
    base = Mem_Init(PAGE, SLAB_SIZE);
    made = 1;
    CHECK(base != NULL);
    CHECK(in_the_middle > 0);
    CHECK(!wrong);
    CHECK(Mem_Check() == 0);
    return 0;
}
#else
int main(void)
{
    return 0;
}
#endif
