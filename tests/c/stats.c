/* The figures are exact. */
#include <string.h>

#include "check.h"
#include "mem.h"

static void nothing_yet(void)
{
    static const struct mem_stats none;
    struct mem_stats stats;

    memset(&stats, 0xff, sizeof stats);
    CHECK(Mem_Stats(&stats) == 0);
    CHECK(memcmp(&stats, &none, sizeof stats) == 0);
}

static void slab_of(const struct mem_segment_stats *slab)
{
    CHECK(slab->size == SLAB_SEGMENT);
    CHECK(slab->live_bytes == 15 * SLAB_SIZE);
    CHECK(slab->peak_bytes == 16 * SLAB_SIZE);
    CHECK(slab->live_objects == 15);
    CHECK(slab->peak_objects == 16);
    CHECK(slab->free_bytes == SLAB_SIZE);
    CHECK(slab->largest_free == SLAB_SIZE);
    CHECK(slab->free_blocks == 1);
    CHECK(slab->allocs == 16);
    CHECK(slab->frees == 1);
    CHECK(slab->failed_full == 0);
    CHECK(slab->failed_fragmented == 0);
    CHECK(slab->refused_frees == 1);
    CHECK(slab->corruptions == 0);
}

static void next_fit_of(const struct mem_segment_stats *next_fit)
{
    CHECK(next_fit->size == PAGE - SLAB_SEGMENT);
    CHECK(next_fit->live_bytes == 80 + 128);
    CHECK(next_fit->peak_bytes == PAGE - SLAB_SEGMENT);
    CHECK(next_fit->live_objects == 2);
    CHECK(next_fit->peak_objects == 4);
    CHECK(next_fit->free_bytes == 128 + 2736);
    CHECK(next_fit->largest_free == 2736);
    CHECK(next_fit->free_blocks == 2);
    CHECK(next_fit->allocs == 4);
    CHECK(next_fit->frees == 2);
    CHECK(next_fit->failed_full == 1);
    CHECK(next_fit->failed_fragmented == 1);
    CHECK(next_fit->refused_frees == 1);
    CHECK(next_fit->corruptions == 1);
}

int main(void)
{
    struct mem_stats stats;
    char on_stack, *slots[SLOTS], *spilled, *a, *b, *rest;

    nothing_yet();
    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    for (int i = 0; i < SLOTS; i++)
        slots[i] = Mem_Alloc(SLAB_SIZE);
    spilled = Mem_Alloc(SLAB_SIZE);
    a = Mem_Alloc(100);
    b = Mem_Alloc(100);
    rest = Mem_Alloc(2720);
    CHECK(spilled != NULL && a != NULL && b != NULL && rest != NULL);
    CHECK(Mem_Free(slots[3]) == 0);
    CHECK(Mem_Free(a) == 0);
    CHECK(Mem_Free(rest) == 0);
    CHECK(Mem_Alloc(2800) == NULL); /* 2864 bytes are free, in two pieces */
    CHECK(Mem_Alloc(PAGE) == NULL);

    printf("SEGFAULT: Mem_Free(%p): outside the heap\n", (void *)&on_stack);
    CHECK(Mem_Free(&on_stack) == -1);
    printf("Mem_Free(%p): double free\n", (void *)slots[3]);
    CHECK(Mem_Free(slots[3]) == -1);
    memset(b - HEADER, 0, HEADER);
    printf("Mem_Free(%p): header overwritten\n", (void *)b);
    CHECK(Mem_Free(b) == -1);

    CHECK(Mem_Stats(&stats) == 0);
    slab_of(&stats.slab);
    next_fit_of(&stats.next_fit);
    CHECK(stats.spilled == 1);
    CHECK(stats.refused_outside == 1);
    return 0;
}
