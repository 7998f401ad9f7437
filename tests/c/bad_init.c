/* A refused Mem_Init leaves no heap behind, and the next one may succeed. */
#include <limits.h>
#include <sys/resource.h>

#include "check.h"
#include "mem.h"

static const struct { int size, slab_size; } refused[] = {
    {0, 64}, {-1, 64}, {INT_MIN, 64}, {PAGE, 0}, {PAGE, -1}, {PAGE, INT_MIN}, {0, 0}, {-1, -1},
};

int main(void)
{
    struct rlimit limit;
    rlim_t before;

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK(Mem_Init(refused[i].size, refused[i].slab_size) == NULL);
        CHECK(Mem_Alloc(16) == NULL);
    }

    /* No addresses for a gibibyte: ENOMEM. */
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    before = limit.rlim_cur;
    limit.rlim_cur = 64 << 20;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(Mem_Init(1 << 30, 64) == NULL);
    CHECK(Mem_Init(INT_MAX, 64) == NULL);
    CHECK(Mem_Alloc(16) == NULL);
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);

    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    CHECK(Mem_Alloc(16) != NULL);
    return 0;
}
