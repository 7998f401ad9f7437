/* In a heap of any size, so with maxima of any number of levels: what was the largest gap is filled, and the next one is found, for
 * a large object and for a small one. Nothing is written to, so that the heap may be larger than the memory. */
#include <malloc.h>

#include "check.h"

int main(void)
{
    const size_t heap = mallinfo2().arena, object = heap / 256 * 60, less = heap / 256 * 50;
    char *first, *second, *third, *small, *next;

    for (int round = 0; round < 3; round++) {
        CHECK((first = malloc(object)) != NULL && (second = malloc(object)) != NULL);
        free(first);
        CHECK((third = malloc(object)) != NULL);
        CHECK((next = malloc(less)) != NULL);
        CHECK((small = malloc(1000)) != NULL);
        /* The other way round: a gap comes back, and is found. */
        free(second);
        CHECK((second = malloc(object)) != NULL);
        free(next);
        CHECK((next = malloc(less)) != NULL);
        free(third);
        free(small);
        free(next);
        free(second);
    }
    CHECK((first = malloc(heap / 10 * 9)) != NULL);
    free(first);
    return 0;
}
