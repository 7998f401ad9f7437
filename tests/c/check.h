/* check.h - what the C programs share. The first check that does not hold ends the program with status 1 and a line on
 * standard output, where tests/c_programs.rs shows it. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            printf("%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

/* The worked example's heap: a slab segment of 1024 bytes with 16 slots of 64, and 3072 bytes of next fit. */
enum { PAGE = 4096, SLAB_SEGMENT = PAGE / 4, SLAB_SIZE = 64, SLOTS = SLAB_SEGMENT / SLAB_SIZE, HEADER = 16 };

#endif
