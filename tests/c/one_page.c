/* A heap of one byte is one of a whole page, all of it usable to its last byte, and its neighbours are out of reach. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

/* Whether writing to this byte is the end of a process. */
static int guarded(volatile char *byte)
{
    int status;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        *byte = 1;
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

int main(void)
{
    char *base = Mem_Init(1, SLAB_SIZE);
    char *whole;

    CHECK(base != NULL);
    CHECK((size_t)base % PAGE == 0);
    /* The largest request is the block segment without a header. */
    CHECK(Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER + 1) == NULL);
    whole = Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER);
    CHECK(whole == base + SLAB_SEGMENT + HEADER);
    memset(whole, 0x77, PAGE - SLAB_SEGMENT - HEADER);
    CHECK(base[PAGE - 1] == 0x77);
    base[PAGE - 1] = 0x11;
    CHECK(whole[PAGE - SLAB_SEGMENT - HEADER - 1] == 0x11);
    CHECK(Mem_Free(whole) == 0);

    CHECK(!guarded(base));
    CHECK(!guarded(base + PAGE - 1));
    CHECK(guarded(base - 1));
    CHECK(guarded(base + PAGE));
    return 0;
}
