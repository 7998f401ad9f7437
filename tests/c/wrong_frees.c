/* A free of anything but a live object's start is refused with a line that names the fault, and changes nothing. The
 * lines expected on standard error go to standard output, where tests/c_programs.rs compares the two. */
#include <string.h>

#include "check.h"
#include "mem.h"

static void refused(void *ptr, const char *fault)
{
    int outside = strcmp(fault, "outside the heap") == 0;

    printf("%sMem_Free(%p): %s\n", outside ? "SEGFAULT: " : "", ptr, fault);
    CHECK(Mem_Free(ptr) == -1);
}

static char in_data[32];

int main(void)
{
    char on_stack[32], *base, *slot, *a, *b, *c;

    base = Mem_Init(PAGE, SLAB_SIZE);
    CHECK(base != NULL);
    slot = Mem_Alloc(SLAB_SIZE);
    a = Mem_Alloc(32);
    b = Mem_Alloc(100);
    c = Mem_Alloc(32);
    CHECK(slot != NULL && a != NULL && b != NULL && c != NULL);
    memset(b, 0, 100);

    refused(on_stack, "outside the heap");
    refused(in_data, "outside the heap");
    refused((void *)main, "outside the heap");
    refused((void *)16, "outside the heap");
    refused((void *)-16, "outside the heap");
    refused(base - 1, "outside the heap");
    refused(base - 16, "outside the heap");
    refused(base + PAGE, "outside the heap");

    refused(b + 1, "misaligned");
    refused(b + 8, "misaligned");
    refused(slot + 1, "misaligned");
    refused(slot + 15, "misaligned");

    refused(b - HEADER, "not the start of an object");
    refused(b + 16, "not the start of an object");
    refused(b + 96, "not the start of an object");
    refused(slot + 16, "not the start of an object");
    refused(slot + SLAB_SIZE - 16, "not the start of an object");

    refused(slot + SLAB_SIZE, "never allocated");
    refused(base + SLAB_SEGMENT - 16, "never allocated");
    refused(c + 32 + HEADER, "never allocated");
    refused(base + PAGE - 16, "never allocated");

    /* A forged header in an object makes no object of what lies after it. */
    memcpy(b + 16, b - HEADER, HEADER);
    refused(b + 32, "not the start of an object");

    /* All of them are as they were. */
    CHECK(Mem_Free(slot) == 0);
    CHECK(Mem_Free(a) == 0);
    CHECK(Mem_Free(b) == 0);

    refused(slot, "double free");
    refused(slot + 16, "double free");
    refused(a, "double free");
    refused(b, "double free"); /* coalesced with a */
    refused(b + 32, "double free");

    /* An object that lost its header stays live. */
    memset(c - HEADER, 0x55, HEADER);
    refused(c, "header overwritten");
    refused(c, "header overwritten");
    CHECK(Mem_Alloc(64) == base);
    return 0;
}
