/* The structs of mem.h are what DESIGN says, on every target, and what the allocator writes. */
#include <stddef.h>

#include "check.h"
#include "mymem.h"

_Static_assert(sizeof(struct FreeHeader) == 16, "a free header is a granule");
_Static_assert(offsetof(struct FreeHeader, length) == 0, "length comes first");
_Static_assert(offsetof(struct FreeHeader, next) == 8, "next at byte 8");
_Static_assert(sizeof(((struct FreeHeader *)0)->length) == sizeof(int), "length is an int");
_Static_assert(sizeof(((struct FreeHeader *)0)->next) == sizeof(void *), "next is a pointer");
_Static_assert(sizeof(struct AllocatedHeader) == 16, "an allocated header is a granule");
_Static_assert(offsetof(struct AllocatedHeader, length) == 0, "length comes first");
_Static_assert(offsetof(struct AllocatedHeader, magic) == 8, "magic at byte 8");
_Static_assert(sizeof(((struct AllocatedHeader *)0)->length) == sizeof(int), "length is an int");
_Static_assert(sizeof(((struct AllocatedHeader *)0)->magic) == sizeof(void *), "magic is a pointer");
_Static_assert(sizeof(struct mem_heap_options) == 8 * sizeof(size_t) + 2 * sizeof(int), "its size stays");
_Static_assert(MAGIC == 0x5077604, "the number");

int main(void)
{
    char *base = Mem_Init(PAGE, SLAB_SIZE);

    CHECK(base != NULL);
    for (int size = 1; size <= 40; size++) {
        char *object = Mem_Alloc(size);
        struct AllocatedHeader *header;

        CHECK(object != NULL);
        header = (struct AllocatedHeader *)(object - sizeof *header);
        CHECK(header->length == (size + 15) / 16 * 16);
        CHECK(header->magic == (void *)MAGIC);
    }
    return 0;
}
