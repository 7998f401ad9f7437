/* A heap with MEM_REPORT says on standard error what was wrong, as the process's does; others only return it. To every
 * heap another's objects are outside. The lines expected go to standard output, where tests/c_heaps.rs compares the two. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "mem.h"

static int refused(struct mem_heap *heap, void *ptr)
{
    errno = 0;
    if (mem_heap_free(heap, ptr) != -1 || errno != EINVAL)
        return 0;
    errno = 0;
    return mem_heap_realloc(heap, ptr, 500) == NULL && errno == EINVAL;
}

static void reported(struct mem_heap *heap, void *ptr, const char *fault)
{
    const char *kind = strcmp(fault, "outside the heap") == 0 ? "SEGFAULT: " : "";

    printf("%smem_heap_free(%p): %s\n", kind, ptr, fault);
    printf("%smem_heap_realloc(%p): %s\n", kind, ptr, fault);
    CHECK(refused(heap, ptr));
}

/* What a hardened heap finds it says in a line, and nothing more about the same. */
static void written_beside(void)
{
    struct mem_heap_options options = {0};
    struct mem_heap *heap;
    char *object;

    options.size = 1 << 20;
    options.flags = MEM_HARDENED | MEM_REPORT;
    heap = mem_heap_create_with(&options);
    CHECK(heap != NULL && (object = mem_heap_alloc(heap, 20)) != NULL);
    memset(object + 20, 'A', 3);
    for (int i = 0; i < 2; i++)
        printf("%p: 3 bytes written past the end of an object of 20 bytes\n", (void *)object);
    CHECK(refused(heap, object));
    printf("mem_heap_check: %p: 3 bytes written past the end of an object of 20 bytes\n", (void *)object);
    CHECK(mem_heap_check(heap) == -1);
    CHECK(mem_heap_repair(heap) == 1 && mem_heap_free(heap, object) == 0);
    reported(heap, object, "double free");
    CHECK(mem_heap_destroy(heap) == 0);
}

int main(void)
{
    struct mem_heap *silent = mem_heap_create(PAGE, SLAB_SIZE, 0);
    struct mem_heap *heap = mem_heap_create(PAGE, SLAB_SIZE, MEM_REPORT | MEM_FIRST_FIT);
    char *slot = mem_heap_alloc(heap, SLAB_SIZE), *object = mem_heap_alloc(heap, 100), *second = mem_heap_alloc(heap, 1);
    char *others = mem_heap_alloc(silent, 100), *process, on_stack;

    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    process = Mem_Alloc(100);
    CHECK(slot != NULL && object != NULL && second != NULL && others != NULL && process != NULL);

    CHECK(refused(silent, &on_stack));
    CHECK(refused(silent, object));
    CHECK(refused(silent, process));
    CHECK(refused(silent, silent));
    CHECK(refused(silent, others + 16));

    reported(heap, &on_stack, "outside the heap");
    reported(heap, others, "outside the heap");
    reported(heap, process, "outside the heap");
    reported(heap, heap, "outside the heap");
    reported(heap, object + 1, "misaligned");
    reported(heap, object + 16, "not the start of an object");
    reported(heap, slot + SLAB_SIZE, "never allocated");
    CHECK(mem_heap_free(heap, object) == 0);
    reported(heap, object, "double free");
    memset(second - HEADER, 0, HEADER);
    reported(heap, second, "header overwritten");
    printf("mem_heap_check: %p: header overwritten\n", (void *)(second - HEADER));
    CHECK(mem_heap_check(heap) == -1);

    written_beside();
    printf("SEGFAULT: Mem_Free(%p): outside the heap\n", (void *)others);
    CHECK(Mem_Free(others) == -1);
    CHECK(Mem_Free(process) == 0);
    CHECK(mem_heap_free(silent, others) == 0);
    CHECK(mem_heap_destroy(heap) == 0);
    CHECK(mem_heap_destroy(silent) == 0);
    return 0;
}
