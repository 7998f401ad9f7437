/* Every other size comes from the block segment, searched from where the last search ended, and then around. */
#include "check.h"
#include "mem.h"

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);
    char *first = base + SLAB_SEGMENT + HEADER;
    char *a, *b, *c;

    CHECK(base != NULL);
    a = Mem_Alloc(SLAB_SIZE - 1);
    b = Mem_Alloc(SLAB_SIZE + 1);
    c = Mem_Alloc(1);
    CHECK(a == first);
    CHECK(b == a + 64 + HEADER);
    CHECK(c == b + 80 + HEADER);

    /* What lies after the rover is not taken before all before it is. */
    CHECK(Mem_Free(a) == 0);
    CHECK(Mem_Alloc(48) == c + 16 + HEADER);
    CHECK(Mem_Alloc(2784) == c + 16 + HEADER + 48 + HEADER);
    CHECK(Mem_Alloc(64 - 1) == a);

    CHECK(Mem_Alloc(1 << 20) == NULL);
    CHECK(Mem_Alloc(0) == NULL);
    CHECK(Mem_Alloc(-1) == NULL);
    return 0;
}
