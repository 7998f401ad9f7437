// Objects that are never freed, by calls that are told apart: `sites frames`, `sites thread`, and `sites garbage`, where the register
// of the frame pointer holds anything.
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "check.h"

static void *volatile kept[4096];
static int count;

static void keep(void *object) {
    CHECK(object != NULL);
    kept[count++ % 4096] = object;
}

__attribute__((noinline)) static void inner(size_t size) {
    keep(malloc(size));
    __asm__ volatile("");
}

__attribute__((noinline)) static void outer(void) {
    inner(1000);
    __asm__ volatile("");
}

__attribute__((noinline)) static void family(void) {
    void *object = NULL;
    keep(calloc(1, 2000));
    keep(realloc(NULL, 2001));
    keep(reallocarray(NULL, 1, 2002));
    CHECK(posix_memalign(&object, 64, 2003) == 0);
    keep(object);
    keep(aligned_alloc(64, 2048));
    keep(valloc(2005));
    __asm__ volatile("");
}

static void *other_thread(void *nothing) {
    outer();
    return nothing;
}

#if defined(__x86_64__)
// Asks for memory with a frame pointer of the test's choice.
__attribute__((noinline)) static void *ask_with(uintptr_t frame, size_t size) {
    void *object;
    // Below what the compiler may keep under the stack's end.
    __asm__ volatile("mov %%rsp, %%rbx\n\tsub $128, %%rsp\n\tand $-16, %%rsp\n\tpush %%rbp\n\tpush %%rbp\n\t"
                     "mov %2, %%rbp\n\tcall malloc@PLT\n\tpop %%rbp\n\tmov %%rbx, %%rsp"
                     : "=a"(object), "+D"(size)
                     : "r"(frame)
                     : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
    return object;
}

static void garbage(void) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
    uintptr_t looped[2] = {0, (uintptr_t)garbage + 1};
    looped[0] = (uintptr_t)looped;
    const uintptr_t frames[] = {0,         1,         8,          here - 8,  here + 3, here + 65536, (uintptr_t)page + 4088,
                                UINTPTR_MAX, UINTPTR_MAX - 7, (uintptr_t)looped, (uintptr_t)1 << 47, (uintptr_t)page};
    for (int i = 0; i < 1000; i++) keep(ask_with(frames[(size_t)i % (sizeof frames / sizeof *frames)], 3000));
}
#else
static void garbage(void) {}
#endif

int main(int argc, char **argv) {
    CHECK(argc == 2);
    if (strcmp(argv[1], "frames") == 0) {
        outer();
        family();
    } else if (strcmp(argv[1], "thread") == 0) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    } else {
        garbage();
    }
    return 0;
}
