/* check.h - what these programs share. The first check that does not hold ends the program with status 1 and a line on
 * standard output. They know nothing of slabfit: the same holds with any malloc that is bounded. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            dprintf(STDOUT_FILENO, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                                           \
        }                                                                                       \
    } while (0)

/* Null, and errno says so. */
#define CHECK_FAILS(call, error)    \
    do {                            \
        errno = 0;                  \
        CHECK((call) == NULL);      \
        CHECK(errno == (error));    \
    } while (0)

static inline int is_aligned(const void *object, size_t alignment)
{
    return (uintptr_t)object % alignment == 0;
}

/* Whether all bytes are the same. */
static inline int is_filled(const void *object, int byte, size_t size)
{
    const unsigned char *bytes = object;

    while (size > 0)
        if (bytes[--size] != (unsigned char)byte)
            return 0;
    return 1;
}

/* Bytes that the process has in memory. */
static inline size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size, pages;

    CHECK(file != NULL && fscanf(file, "%lu %lu", &size, &pages) == 2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

#endif
