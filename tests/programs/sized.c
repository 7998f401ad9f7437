/* Frees with sizes, right ones in silence and wrong ones refused: says on standard output what is to be said of these. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>

#include "check.h"

/* C23, which the C library may not know. */
static void (*free_sized)(void *object, size_t size);
static void (*free_aligned_sized)(void *object, size_t alignment, size_t size);

static char *volatile none; /* no compiler sees where it points */

static void expect(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vdprintf(STDOUT_FILENO, format, arguments);
    va_end(arguments);
}

static void wrong(char *object, size_t room, size_t size)
{
    const char *format = "slabfit: free_sized(%p): not an object of %zu bytes, it has room for %zu\n";

    memset(object, 3, room);
    expect(format, (void *)object, size, room);
    errno = 1234;
    free_sized(object, size);
    CHECK(errno == 1234);
    CHECK(is_filled(object, 3, room));
}

int main(void)
{
    char *object, *aligned, *block;

    *(void **)&free_sized = dlsym(RTLD_DEFAULT, "free_sized");
    *(void **)&free_aligned_sized = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    CHECK(free_sized != NULL && free_aligned_sized != NULL);
    free_sized(NULL, 10);
    free_aligned_sized(NULL, 64, 10);
    /* Every size is right for what was made with it, however it was made. */
    for (size_t size = 0; size < 5000; size += 1 + size / 50) {
        free_sized(malloc(size), size);
        free_sized(calloc(1, size), size);
        if (size > 0)
            free_sized(realloc(malloc(3000), size), size);
        for (size_t alignment = 16; alignment <= 4096; alignment *= 4)
            free_aligned_sized(aligned_alloc(alignment, size), alignment, size);
    }
    CHECK((object = malloc(100)) != NULL);
    wrong(object, 112, 113);
    wrong(object, 112, 5000);
    wrong(object, 112, SIZE_MAX);
    /* A block has a granule too much at most. A slot of a size class may be one of an object that has shrunk. */
    CHECK((block = malloc(600)) != NULL);
    wrong(block, 608, 64);
    wrong(block, 608, 0);
    free_sized(block, 600);
    none = object + 1;
    expect("slabfit: free_sized(%p): misaligned\n", (void *)none);
    free_sized(none, 99);
    none = object + 16;
    expect("slabfit: free_sized(%p): not the start of an object\n", (void *)none);
    free_sized(none, 84);
    free_sized(object, 100);
    none = object;
    expect("slabfit: free_sized(%p): double free\n", (void *)none);
    free_sized(none, 100);

    CHECK((aligned = aligned_alloc(64, 640)) != NULL && is_aligned(aligned, 64));
    if (is_aligned(aligned, 4096)) /* the next one is not */
        CHECK((aligned = aligned_alloc(64, 640)) != NULL && !is_aligned(aligned, 4096));
    expect("slabfit: free_aligned_sized(%p): not an object of 640 bytes at a multiple of 4096\n", (void *)aligned);
    free_aligned_sized(aligned, 4096, 640);
    free_aligned_sized(aligned, 64, 640);
    return 0;
}
