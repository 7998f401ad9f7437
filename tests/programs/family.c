/* What the standards and glibc promise of malloc and its family. With an argument the heap may place as it likes. */
#define _GNU_SOURCE
#include <malloc.h>

#include "check.h"

enum { ANY = 1234 };

static int first_fit;

/* More than a heap holds, and as much as can be said. Volatile, so that no compiler knows better. */
static volatile size_t huge = (size_t)1 << 45, most = SIZE_MAX;

static void of_malloc(void)
{
    void *first = malloc(0), *second = malloc(0);

    CHECK(first != NULL && second != NULL && first != second);
    free(first);
    free(second);
    for (size_t size = 0; size < 600; size++) {
        void *object = malloc(size);

        CHECK(object != NULL && is_aligned(object, 16));
        CHECK(malloc_usable_size(object) >= size);
        memset(object, 0xab, malloc_usable_size(object));
        free(object);
    }
    CHECK_FAILS(malloc(huge), ENOMEM);
    CHECK_FAILS(malloc(most / 2), ENOMEM);
    CHECK_FAILS(malloc(most), ENOMEM);
    CHECK_FAILS(malloc(most - 15), ENOMEM);
}

static void of_calloc(void)
{
    for (size_t size = 1; size < 3000; size += 61) {
        void *dirty = malloc(size), *clean;

        memset(dirty, 0xff, malloc_usable_size(dirty));
        free(dirty);
        clean = calloc(1, size);
        CHECK(clean != NULL && is_filled(clean, 0, size));
        memset(clean, 0xff, malloc_usable_size(clean));
        free(clean);
    }
    free(calloc(0, 5));
    free(calloc(5, 0));
    CHECK_FAILS(calloc(most / 2, 3), ENOMEM);
    CHECK_FAILS(calloc(huge, huge), ENOMEM);
    CHECK_FAILS(calloc(huge, 1), ENOMEM);
}

static void of_realloc(void)
{
    char *object = realloc(NULL, 100), *again;

    CHECK(object != NULL);
    memset(object, 'x', 100);
    for (size_t size = 100; size < 300000; size += size / 2) {
        object = realloc(object, size);
        CHECK(object != NULL && is_filled(object, 'x', 100));
        free(malloc(size)); /* so that it has to move at times */
    }
    CHECK_FAILS(realloc(object, huge), ENOMEM);
    CHECK_FAILS(realloc(object, most), ENOMEM);
    CHECK_FAILS(reallocarray(object, most / 2, 4), ENOMEM);
    CHECK(is_filled(object, 'x', 100));
    object = realloc(object, 10);
    CHECK(object != NULL && is_filled(object, 'x', 10));
    object = reallocarray(object, 10, 20);
    CHECK(object != NULL && is_filled(object, 'x', 10));
    free(object);
    free(reallocarray(NULL, 10, 20));

    /* With a size of 0 it frees. That the place then serves again is first fit's promise. */
    object = malloc(1000);
    errno = ANY;
    CHECK(realloc(object, 0) == NULL);
    CHECK(errno == ANY);
    again = malloc(1000);
    CHECK(again == object || !first_fit);
    free(again);
}

static void of_aligned(void)
{
    static const size_t wrong[] = {0, 1, 2, 3, 4, 7, 24, 48, 100, SIZE_MAX};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char mark, *place;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        void *object = &mark;

        errno = ANY;
        CHECK(posix_memalign(&object, wrong[i], 100) == EINVAL);
        CHECK(object == &mark && errno == ANY);
        if ((wrong[i] & (wrong[i] - 1)) != 0 || wrong[i] == 0)
            CHECK_FAILS(aligned_alloc(wrong[i], 100), EINVAL);
    }
    for (size_t alignment = sizeof(void *); alignment <= 65536; alignment *= 2) {
        void *object = NULL;

        CHECK(posix_memalign(&object, alignment, alignment / 3) == 0);
        CHECK(object != NULL && is_aligned(object, alignment) && malloc_usable_size(object) >= alignment / 3);
        memset(object, 0xcd, malloc_usable_size(object));
        object = realloc(object, 2 * alignment);
        CHECK(object != NULL && is_filled(object, 0xcd, alignment / 3));
        free(object);
        object = aligned_alloc(alignment, 3 * alignment);
        CHECK(object != NULL && is_aligned(object, alignment));
        free(object);
        object = &mark;
        CHECK(posix_memalign(&object, alignment, huge) == ENOMEM);
        CHECK(posix_memalign(&object, alignment, most) == ENOMEM);
        CHECK(object == &mark);
        CHECK_FAILS(aligned_alloc(alignment, huge), ENOMEM);
        CHECK_FAILS(aligned_alloc(alignment, most), ENOMEM);
    }
    place = memalign(0, 10);
    CHECK(place != NULL);
    free(place);
    place = memalign(24, 10);
    CHECK(place != NULL && is_aligned(place, 32));
    free(place);
    CHECK_FAILS(memalign(most, 1), EINVAL);
    CHECK_FAILS(memalign((size_t)1 << 50, 1), ENOMEM);

    place = valloc(10);
    CHECK(place != NULL && is_aligned(place, page));
    free(place);
    for (size_t size = 0; size <= page + 1; size += page / 2 + 1) {
        place = pvalloc(size);
        CHECK(place != NULL && is_aligned(place, page));
        CHECK(malloc_usable_size(place) >= (size <= page ? page : 2 * page));
        free(place);
    }
    CHECK_FAILS(valloc(huge), ENOMEM);
    CHECK_FAILS(pvalloc(most), ENOMEM);
}

static void of_free(void)
{
    void *object = malloc(100);

    errno = ANY;
    free(object);
    free(NULL);
    free(malloc(64));
    CHECK(errno == ANY);
    CHECK(malloc_usable_size(NULL) == 0);
}

int main(int count, char **arguments)
{
    (void)arguments;
    first_fit = count == 1;
    of_malloc();
    of_calloc();
    of_realloc();
    of_aligned();
    of_free();
    return 0;
}
