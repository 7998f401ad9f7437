/* A few calls between two stops, for who runs it step by step. */
#include <signal.h>

#include "check.h"

int main(void)
{
    void *object, *zeroed;

    free(malloc(1)); /* the first call says more than those after it */
    raise(SIGSTOP);
    object = malloc(100);
    zeroed = calloc(10, 64);
    object = realloc(object, 5000);
    free(zeroed);
    zeroed = malloc((size_t)1 << 45);
    free(object);
    raise(SIGSTOP);
    CHECK(zeroed == NULL);
    return 0;
}
