/* The library asks libc once to be told of forks, and again only where it was refused. */
#include <errno.h>

#include "check.h"
#include "mem.h"

static int answer, calls;

/* What pthread_atfork comes to in glibc; this one here is found before it. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library)
{
    (void)prepare, (void)parent, (void)child, (void)library;
    calls++;
    return answer;
}

int main(void)
{
    CHECK(calls == 0);
    answer = ENOMEM;
    CHECK(Mem_Init(0, SLAB_SIZE) == NULL);
    CHECK(calls == 1);
    answer = 0;
    CHECK(Mem_Init(0, SLAB_SIZE) == NULL);
    CHECK(calls == 2);
    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    CHECK(Mem_Init(PAGE, SLAB_SIZE) == NULL);
    CHECK(calls == 2);
    return 0;
}
