/* Says whether the kernel has started it with more rights than its user's, and that more memory is to be had than a mebibyte. */
#include <sys/auxv.h>

#include "check.h"

int main(void)
{
    if (getauxval(AT_SECURE)) {
        CHECK(malloc(2 << 20) != NULL);
        /* Refused in silence or not, it ends nothing. */
        CHECK(freopen("/dev/null", "w", stderr) != NULL);
        free((char *)malloc(100) + 1);
    }
    printf("%d\n", getauxval(AT_SECURE) != 0);
    return 0;
}
