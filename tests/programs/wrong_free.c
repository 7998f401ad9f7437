/* Frees what is no object, and says on standard output what is to be said on standard error. */
#include <stdarg.h>

#include "check.h"

static char *volatile none; /* no compiler sees where it points */

static void expect(const char *function, const void *address, const char *fault)
{
    dprintf(STDOUT_FILENO, "slabfit: %s(%p): %s\n", function, address, fault);
}

static void refused(char *address, const char *fault)
{
    none = address;
    expect("free", none, fault);
    errno = 1234;
    free(none);
    CHECK(errno == 1234);
    expect("realloc", none, fault);
    CHECK_FAILS(realloc(none, 10), EINVAL);
    expect("realloc", none, fault);
    errno = 1234;
    CHECK(realloc(none, 0) == NULL);
    CHECK(errno == 1234);
}

int main(void)
{
    char local[64];
    char *block = malloc(700), *after = malloc(700), *slot = malloc(64), *keep = malloc(64);
    size_t magic;

    CHECK(block != NULL && after != NULL && slot != NULL && keep != NULL);
    refused(local, "outside the heap");
    refused((char *)16, "outside the heap");
    refused(block + 1, "misaligned");
    refused(slot + 8, "misaligned");
    refused(block + 16, "not the start of an object");
    refused(block - 16, "not the start of an object");
    refused(slot + 16, "not the start of an object");
    refused(after + (1 << 20), "never allocated");

    memcpy(&magic, after - 8, sizeof magic);
    memset(after - 8, 0, sizeof magic);
    refused(after, "header overwritten");
    memcpy(after - 8, &magic, sizeof magic);

    free(block);
    refused(block, "double free");
    free(slot);
    refused(slot, "double free");
    free(after);
    free(keep);
    refused(after, "double free");
    return 0;
}
