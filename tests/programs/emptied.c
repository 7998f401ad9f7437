/* Where an object lies depends on whether malloc_trim has emptied the magazine of its size class. */
#include <malloc.h>

#include "check.h"

enum { COUNT = 63 };

int main(void)
{
    char *objects[COUNT], *again;

    for (int i = 0; i < COUNT; i++)
        CHECK((objects[i] = malloc(48)) != NULL);
    /* One of an early run, and then one of a late run, which lies on top. */
    free(objects[2]);
    free(objects[COUNT - 2]);
    malloc_trim(0);
    CHECK((again = malloc(48)) == objects[2]);
    free(again);
    return 0;
}
