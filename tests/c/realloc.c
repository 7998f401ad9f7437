/* An object gets another size where it stands, if it can, and keeps its contents; if it cannot, it is as it was. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "check.h"
#include "mem.h"

static void fill(char *object, int size)
{
    for (int i = 0; i < size; i++)
        object[i] = (char)(i * 7 + 1);
}

static int filled(const char *object, int size)
{
    for (int i = 0; i < size; i++)
        if (object[i] != (char)(i * 7 + 1))
            return 0;
    return 1;
}

static int refused(void *object, int size, int why)
{
    errno = 0;
    return Mem_Realloc(object, size) == NULL && errno == why;
}

static void wrong(void *ptr, const char *fault)
{
    int outside = strcmp(fault, "outside the heap") == 0;

    printf("%sMem_Realloc(%p): %s\n", outside ? "SEGFAULT: " : "", ptr, fault);
    CHECK(refused(ptr, 10, EINVAL));
}

int main(void)
{
    char on_stack, *base = Mem_Init(PAGE, SLAB_SIZE);
    char *segment = base + SLAB_SEGMENT, *a = segment + HEADER, *b = a + 128, *moved = segment + 256 + HEADER;

    CHECK(base != NULL);
    CHECK(Mem_Realloc(NULL, 100) == a);
    CHECK(Mem_Alloc(100) == b);
    fill(a, 100);

    /* Smaller: the rest is free. Larger again: it is taken back. */
    CHECK(Mem_Realloc(a, 40) == a);
    CHECK(Mem_UsableSize(a) == 48);
    CHECK(filled(a, 40));
    CHECK(Mem_Realloc(a, 100) == a);
    CHECK(Mem_UsableSize(a) == 112);
    CHECK(filled(a, 40));
    fill(a, 100);

    /* No room after it: it moves to the rover. */
    CHECK(Mem_Realloc(a, 200) == moved);
    CHECK(filled(moved, 100));
    fill(moved, 200);

    CHECK(refused(moved, PAGE, ENOMEM));
    CHECK(refused(moved, INT_MAX, ENOMEM));
    CHECK(refused(moved, 0, EINVAL));
    CHECK(refused(moved, -1, EINVAL));
    CHECK(refused(NULL, 0, EINVAL));
    CHECK(Mem_UsableSize(moved) == 208);
    CHECK(filled(moved, 200));

    /* A slot stays one while it is large enough. */
    CHECK(Mem_Alloc(SLAB_SIZE) == base);
    fill(base, SLAB_SIZE);
    CHECK(Mem_Realloc(base, 10) == base);
    CHECK(Mem_Realloc(base, SLAB_SIZE) == base);
    CHECK(Mem_Realloc(base, SLAB_SIZE + 1) == segment + 480 + HEADER);
    CHECK(filled(segment + 480 + HEADER, SLAB_SIZE));
    CHECK(Mem_Alloc(SLAB_SIZE) == base);

    wrong(a, "double free");
    wrong(b + 16, "not the start of an object");
    wrong(b + 1, "misaligned");
    wrong(&on_stack, "outside the heap");
    wrong(base + SLAB_SIZE, "never allocated");
    memset(b - HEADER, 0, HEADER);
    wrong(b, "header overwritten");
    return 0;
}
