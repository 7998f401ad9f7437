/* With standard error closed a wrong free is refused all the same, only in silence. */
#include <unistd.h>

#include "check.h"
#include "mem.h"

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *object;

    CHECK(base != NULL);
    object = Mem_Alloc(32);
    CHECK(close(STDERR_FILENO) == 0);
    CHECK(Mem_Free(object + 16) == -1);
    CHECK(Mem_Free(&object) == -1);
    CHECK(Mem_Free(object) == 0);
    return 0;
}
