/* The library asks libc to be told of forks when it is loaded, and not in Mem_Init, which a signal handler may call; there only
 * where it was refused. */
#include <errno.h>

#include "check.h"
#include "mem.h"

static int calls;

/* What pthread_atfork comes to in glibc; this one here is found before it. It refuses twice. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library)
{
    (void)prepare, (void)parent, (void)child, (void)library;
    return calls++ < 2 ? ENOMEM : 0;
}

int main(void)
{
    CHECK(calls == 1);
    CHECK(Mem_Init(0, SLAB_SIZE) == NULL);
    CHECK(calls == 2);
    CHECK(Mem_Init(0, SLAB_SIZE) == NULL);
    CHECK(calls == 3);
    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    CHECK(Mem_Init(PAGE, SLAB_SIZE) == NULL);
    CHECK(calls == 3);
    return 0;
}
