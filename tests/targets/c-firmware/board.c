/* The board: where it starts, how it says something, and the two functions that libmem.a asks for. */
#include "board.h"

#include "mem.h"

/* From the linker; no function, but the table below has nothing else. */
void stack_top(void);

void reset(void);

typedef void (*vector)(void);

static void fault(void)
{
    fail("fault", 0);
}

/* The stack's end, the start, and the faults. */
__attribute__((section(".vectors"), used)) static const vector vectors[7] = {
    stack_top, reset, fault, fault, fault, fault, fault,
};

static long semihosting(long operation, const void *argument)
{
    register long r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void say(const char *text)
{
    semihosting(0x04, text);
}

static void leave(long reason)
{
    for (;;)
        semihosting(0x18, (const void *)reason);
}

void fail(const char *what, int line)
{
    char digits[] = ":0000\n";
    int nth;

    for (nth = 4; nth > 0; nth--, line /= 10)
        digits[nth] = (char)('0' + line % 10);
    say("failed: ");
    say(what);
    say(digits);
    leave(0x20023);
}

static int locked;

unsigned long mem_lock(void)
{
    unsigned long state;

    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(state) : : "memory");
    locked++;
    return state;
}

void mem_unlock(unsigned long state)
{
    locked--;
    __asm__ volatile("msr primask, %0" : : "r"(state) : "memory");
}

int is_locked(void)
{
    return locked != 0;
}

void reset(void)
{
    run();
    leave(0x20026);
}
