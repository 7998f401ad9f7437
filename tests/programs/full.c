/* To be run with a heap of 1 MiB. When it is full a request fails, nothing more is mapped, no page can go back, and what is freed
 * serves again. */
#include <fcntl.h>
#include <malloc.h>

#include "check.h"

enum { MOST = 100000, SIZE = 64, LARGE = 600000 };

static void *objects[MOST];

/* Pages that the process has mapped. */
static long mapped(void)
{
    char text[64];
    int file = open("/proc/self/statm", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);

    CHECK(length > 0);
    text[length] = 0;
    close(file);
    return atol(text);
}

static int fill(int from)
{
    int count = from;

    errno = 0;
    while (count < MOST && (objects[count] = malloc(SIZE)) != NULL)
        memset(objects[count++], 0x5a, SIZE);
    CHECK(count < MOST && errno == ENOMEM);
    return count;
}

int main(void)
{
    const long before = mapped();
    const int count = fill(0);

    /* In slots of 64, or a quarter in these and the rest in blocks of 80, less what the program's start took. */
    CHECK(count > 13000 && count <= (1 << 20) / SIZE);
    CHECK_FAILS(malloc(SIZE), ENOMEM);
    CHECK_FAILS(malloc(LARGE), ENOMEM);
    CHECK_FAILS(calloc(10, SIZE), ENOMEM);
    CHECK_FAILS(realloc(objects[0], 10 * SIZE), ENOMEM);
    CHECK_FAILS(aligned_alloc(4096, SIZE), ENOMEM);
    CHECK(malloc_trim(0) == 0);

    /* Every second one makes room for as many, but for nothing larger. */
    for (int i = 0; i < count; i += 2)
        free(objects[i]);
    CHECK_FAILS(malloc(2 * SIZE), ENOMEM);
    for (int i = 0; i < count; i += 2)
        CHECK((objects[i] = malloc(SIZE)) != NULL);
    CHECK_FAILS(malloc(SIZE), ENOMEM);

    for (int i = 0; i < count; i++) {
        CHECK(i % 2 == 0 || is_filled(objects[i], 0x5a, SIZE));
        free(objects[i]);
    }
    objects[0] = malloc(LARGE);
    CHECK(objects[0] != NULL);
    free(objects[0]);
    CHECK(fill(0) == count);
    CHECK(mapped() == before);
    return 0;
}
