/* Every object of every size is aligned to 16. */
#include <stdint.h>

#include "check.h"
#include "mem.h"

int main(void)
{
    CHECK(Mem_Init(16 << 20, 24) != NULL);
    for (int size = 1; size <= 4096; size++) {
        char *object = Mem_Alloc(size);

        CHECK(object != NULL);
        CHECK((uintptr_t)object % 16 == 0);
    }
    return 0;
}
