/* What the program wrote over is found, named, and put right. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "mem.h"

/* What is to stand on standard error goes to standard output, where tests/c_programs.rs compares the two. */
static void damaged(char *header)
{
    printf("Mem_Check: %p: header overwritten\n", (void *)header);
    errno = 0;
    CHECK(Mem_Check() == -1);
    CHECK(errno == EUCLEAN);
}

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *a = Mem_Alloc(32), *b = Mem_Alloc(32), *c = Mem_Alloc(32), *slot = Mem_Alloc(SLAB_SIZE);

    CHECK(base != NULL && a != NULL && b != NULL && c != NULL && slot != NULL);
    CHECK(Mem_Free(b) == 0);
    CHECK(Mem_Free(slot) == 0);
    CHECK(Mem_Check() == 0);

    /* One byte too many. */
    a[32] = 'x';
    damaged(b - HEADER);
    CHECK(Mem_Repair() == 1);
    CHECK(Mem_Check() == 0);
    CHECK(Mem_Repair() == 0);

    /* A slot that is used after it was freed, and the header of a block. */
    memset(slot, 0xff, SLAB_SIZE);
    memset(c - HEADER, 0xff, HEADER);
    damaged(slot);
    printf("Mem_Free(%p): header overwritten\n", (void *)c);
    CHECK(Mem_Free(c) == -1);
    CHECK(Mem_Repair() == 2);
    CHECK(Mem_Check() == 0);
    CHECK(Mem_Free(c) == 0);

    /* All of it: the used block, the free one after it, and the free slot. */
    memset(base, 0xff, PAGE);
    damaged(slot);
    CHECK(Mem_Repair() == 3);
    CHECK(Mem_Check() == 0);
    CHECK(Mem_Free(a) == 0);
    CHECK(Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER) == base + SLAB_SEGMENT + HEADER);
    return 0;
}
