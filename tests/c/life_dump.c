/* Mem_Dump of a heap whose every byte was written over: it ends, and neither libc's allocator nor the kernel is asked for
 * memory meanwhile. The first argument is the seed. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

enum { HEAP = 1 << 16, ROUNDS = 50 };

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static volatile int allocations;

/* The program's own come before libc's, for libmem too. */
void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *object, size_t size)
{
    allocations++;
    return __libc_realloc(object, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **object, size_t alignment, size_t size)
{
    allocations++;
    *object = __libc_memalign(alignment, size);
    return *object == NULL ? ENOMEM : 0;
}

static long pages(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    long size;

    CHECK(statm != NULL && fscanf(statm, "%ld", &size) == 1);
    fclose(statm);
    return size;
}

int main(int count, char **arguments)
{
    const unsigned seed = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 1;
    unsigned state = seed;
    unsigned char *heap = Mem_Init(HEAP, SLAB_SIZE);

    CHECK(heap != NULL);
    for (int round = 0; round < ROUNDS; round++) {
        void *objects[8];
        long before_pages;
        int before;

        CHECK(Mem_Repair() >= 0);
        for (int i = 0; i < 8; i++) {
            state = state * 1103515245 + 12345;
            objects[i] = Mem_Alloc(i % 2 ? SLAB_SIZE : (int)(state >> 16 & 1023) + 1);
        }
        for (int i = 0; i < 8; i += 3)
            CHECK(Mem_Free(objects[i]) == 0);
        for (int i = 0; i < HEAP; i++) {
            state = state * 1103515245 + 12345;
            heap[i] = (unsigned char)(state >> 16);
        }
        CHECK(Mem_Repair() > 0);
        before_pages = pages();
        for (int i = 0; i < HEAP; i++)
            heap[i] = round % 2 ? 0xff : (unsigned char)i;
        before = allocations;
        Mem_Dump();
        CHECK(allocations == before);
        CHECK(pages() == before_pages);
    }
    /* So that the counter is known to count. */
    {
        const int before = allocations;
        void *volatile object = malloc(1);

        CHECK(allocations == before + 1);
        free(object);
    }
    return 0;
}
