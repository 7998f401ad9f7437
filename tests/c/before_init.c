/* Without a heap there is nothing to serve and nothing to free. */
#include "check.h"
#include "mem.h"

int main(void)
{
    int mine;

    CHECK(Mem_Alloc(1) == NULL);
    CHECK(Mem_Alloc(64) == NULL);
    CHECK(Mem_Alloc(0) == NULL);
    CHECK(Mem_Alloc(-1) == NULL);
    CHECK(Mem_Free(NULL) == 0);
    printf("SEGFAULT: Mem_Free(%p): outside the heap\n", (void *)&mine);
    CHECK(Mem_Free(&mine) == -1);
    return 0;
}
