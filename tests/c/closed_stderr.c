/* With standard error closed, or with nobody at its other end, a wrong free is refused all the same, only in silence. */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

/* Whoever reads `ends[0]` has gone. */
static void stderr_without_reader(const int ends[2])
{
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *object;
    int ends[2];

    CHECK(base != NULL);
    object = Mem_Alloc(32);
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);

    CHECK(pipe(ends) == 0);
    stderr_without_reader(ends);
    CHECK(Mem_Free(object + 16) == -1);

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    stderr_without_reader(ends);
    CHECK(Mem_Free(object + 16) == -1);

    CHECK(close(STDERR_FILENO) == 0);
    CHECK(Mem_Free(object + 16) == -1);
    CHECK(Mem_Free(&object) == -1);
    CHECK(Mem_Free(object) == 0);
    return 0;
}
