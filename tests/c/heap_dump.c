/* mem_heap_dump shows a heap as Mem_Dump does. */
#include "check.h"
#include "mem.h"

int main(void)
{
    struct mem_heap *heap = mem_heap_create(PAGE, SLAB_SIZE, 0);
    char *base = mem_heap_alloc(heap, SLAB_SIZE), *object;

    CHECK(base != NULL);
    CHECK(mem_heap_alloc(heap, 32) != NULL);
    object = mem_heap_alloc(heap, 100);
    CHECK(object != NULL);
    CHECK(mem_heap_alloc(heap, 7) != NULL);
    CHECK(mem_heap_free(heap, object) == 0);
    printf("heap at %p\n", (void *)base);
    fflush(stdout);
    CHECK(mem_heap_dump(heap) == 0);
    CHECK(mem_heap_destroy(heap) == 0);
    return 0;
}
