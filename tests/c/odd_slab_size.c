/* Slots are rounded up to 16 bytes; a slab_size larger than the slab segment makes none, which is no error. */
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

static void slots_of_one_byte(void)
{
    char *base = Mem_Init(PAGE, 1);

    CHECK(base != NULL);
    for (int i = 0; i < SLAB_SEGMENT / 16; i++)
        CHECK(Mem_Alloc(1) == base + i * 16);
    CHECK(Mem_Alloc(1) == base + SLAB_SEGMENT + HEADER);
}

/* 9 slots of 112 bytes, and 16 bytes that belong to none. */
static void slots_of_100_bytes(void)
{
    char *base = Mem_Init(PAGE, 100);

    CHECK(base != NULL);
    for (int i = 0; i < 9; i++)
        CHECK(Mem_Alloc(100) == base + i * 112);
    CHECK(Mem_Alloc(100) == base + SLAB_SEGMENT + HEADER);
    printf("Mem_Free(%p): not the start of an object\n", (void *)(base + 9 * 112));
    fflush(stdout);
    CHECK(Mem_Free(base + 9 * 112) == -1);
}

static void no_slots(void)
{
    char *base = Mem_Init(PAGE, SLAB_SEGMENT + 1);

    CHECK(base != NULL);
    CHECK(Mem_Alloc(SLAB_SEGMENT + 1) == base + SLAB_SEGMENT + HEADER);
}

static void no_slots_at_all(void)
{
    char *base = Mem_Init(PAGE, INT_MAX);

    CHECK(base != NULL);
    CHECK(Mem_Alloc(INT_MAX) == NULL);
    CHECK(Mem_Alloc(16) == base + SLAB_SEGMENT + HEADER);
}

/* Every heap needs a process. */
static void in_a_child(void (*test)(void))
{
    int status;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        test();
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    in_a_child(slots_of_one_byte);
    in_a_child(slots_of_100_bytes);
    in_a_child(no_slots);
    in_a_child(no_slots_at_all);
    return 0;
}
