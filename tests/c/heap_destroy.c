/* Whatever a heap mapped is given back, and a heap that could not be made leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

enum { MEBIBYTE = 1 << 20 };

/* How many pieces of memory the process has. Without stdio, whose buffers would be some. */
static int mappings(void)
{
    char text[4096];
    ssize_t length;
    int lines = 0, file = open("/proc/self/maps", O_RDONLY);

    CHECK(file >= 0);
    while ((length = read(file, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < length; i++)
            lines += text[i] == '\n';
    CHECK(length == 0 && close(file) == 0);
    return lines;
}

int main(void)
{
    struct rlimit limit;
    struct mem_heap *first = mem_heap_create(MEBIBYTE, SLAB_SIZE, 0);
    int before;

    /* With the first heap comes a page of the library's own, which stays. */
    CHECK(first != NULL && mem_heap_destroy(first) == 0);
    before = mappings();
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = 128 * MEBIBYTE;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (int round = 0; round < 100; round++) {
        struct mem_heap *large = mem_heap_create(64 * MEBIBYTE, SLAB_SIZE, 0);
        struct mem_heap *small = mem_heap_create(MEBIBYTE, SLAB_SIZE, 0);
        void *object = mem_heap_alloc(small, 100);

        CHECK(large != NULL && small != NULL && object != NULL);
        memset(object, 1, 100);
        CHECK(mappings() > before);
        errno = 0;
        CHECK(mem_heap_create(64 * MEBIBYTE, SLAB_SIZE, 0) == NULL && errno == ENOMEM);
        CHECK(mem_heap_destroy(small) == 0); /* with an object in it */
        CHECK(mem_heap_destroy(large) == 0);
        CHECK(mappings() == before);
    }
    return 0;
}
