/* What the manual pages promise of mallinfo(3), malloc_info(3), malloc_stats(3), mallopt(3) and reallocarray(3), in a heap of
 * 64 MiB without a slab. */
#include <malloc.h>

#include "check.h"

#define MIB ((size_t)1 << 20)
#define HEAP (64 * MIB)

int main(void)
{
    struct mallinfo2 before = mallinfo2(), now;
    struct mallinfo narrow;
    volatile size_t half = SIZE_MAX / 2; /* no compiler sees that it is too much */
    char *text = NULL, *large, *array;
    char expected[100];
    size_t length = 0;
    FILE *stream;

    CHECK(before.arena == HEAP && before.uordblks + before.fordblks == HEAP);
    CHECK(before.hblks == 0 && before.hblkhd == 0 && before.usmblks == 0);
    CHECK((large = malloc(MIB)) != NULL);
    now = mallinfo2();
    CHECK(now.uordblks == before.uordblks + MIB + 16 && now.fordblks == before.fordblks - MIB - 16);
    CHECK(now.keepcost == now.fordblks && now.ordblks >= 1);
    narrow = mallinfo();
    CHECK(narrow.arena == (int)HEAP && narrow.uordblks == (int)now.uordblks && narrow.fordblks == (int)now.fordblks);
    free(large);
    CHECK(mallinfo2().uordblks == before.uordblks);

    /* None of them does anything, and none says that it does. */
    for (int parameter = -10; parameter < 10; parameter++)
        CHECK(mallopt(parameter, 1) == 0);

    CHECK((stream = open_memstream(&text, &length)) != NULL);
    CHECK(malloc_info(0, stream) == 0);
    CHECK(fclose(stream) == 0);
    CHECK(strncmp(text, "<malloc version=\"1\">\n", 21) == 0);
    CHECK(strcmp(text + length - 10, "</malloc>\n") == 0);
    snprintf(expected, sizeof expected, "<system type=\"current\" size=\"%zu\"/>\n", HEAP);
    CHECK(strstr(text, expected) != NULL);
    CHECK(strstr(text, "<total type=\"rest\" count=\"") != NULL);
    free(text);
    errno = 0;
    CHECK(malloc_info(1, stdout) == -1 && errno == EINVAL);
    CHECK((stream = fopen("/dev/full", "w")) != NULL);
    CHECK(setvbuf(stream, NULL, _IONBF, 0) == 0);
    CHECK(malloc_info(0, stream) == -1);
    fclose(stream);

    CHECK((array = reallocarray(NULL, 10, 100)) != NULL && malloc_usable_size(array) >= 1000);
    memset(array, 7, 1000);
    CHECK_FAILS(reallocarray(array, half, 3), ENOMEM);
    CHECK_FAILS(reallocarray(array, 1, HEAP), ENOMEM);
    CHECK(is_filled(array, 7, 1000));
    CHECK((array = reallocarray(array, 3, 1000)) != NULL && is_filled(array, 7, 1000));
    free(array);

    CHECK(malloc(1000) != NULL); /* stays in use */
    malloc_stats();
    return 0;
}
