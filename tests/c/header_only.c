/* The headers alone, under either name and under both, in any language that reads them. */
#include "mem.h"
#include "mymem.h"

struct FreeHeader in_free_memory;
struct AllocatedHeader in_front_of_a_block;
struct mem_heap_options of_a_heap;
struct mem_class_stats of_its_classes[MEM_CLASSES];
