/* Small objects that were freed do not keep their pages: most go back by themselves, and all that can by malloc_trim.
 * With an argument they are fewer, and nothing is said of what is resident. */
#include <malloc.h>

#include "check.h"

#define MIB ((size_t)1 << 20)

enum { MOST = 1000000, FEW = 200000 };

static char *objects[MOST];

int main(int argc, char **argv)
{
    size_t before;
    const int counts = argc == 1, count = counts ? MOST : FEW;

    memset(objects, 1, sizeof objects);
    free(malloc(10000));
    resident();
    before = resident();
    for (int i = 0; i < count; i++) {
        size_t size = 1 + (size_t)i % 200;

        CHECK((objects[i] = malloc(size)) != NULL);
        memset(objects[i], i, size);
    }
    (void)argv;
    CHECK(!counts || resident() > before + 95 * MIB);
    /* In an order in which no run is emptied at once. */
    for (int start = 0; start < 7; start++)
        for (int i = start; i < count; i += 7)
            free(objects[i]);
    CHECK(!counts || resident() < before + 40 * MIB);
    CHECK(malloc_trim(0) == 1);
    /* The slots at hand were the last that kept a run. What stays is the library's own, 13% of what was in use. */
    CHECK(!counts || resident() < before + 14 * MIB);
    CHECK(mallinfo2().fsmblks < 64 << 10);
    return 0;
}
