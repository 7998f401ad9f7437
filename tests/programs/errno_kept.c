/* A signal's handler of the library may fail at what it is asked for: the program it has interrupted sees no other errno. */
#include <signal.h>

#include "check.h"

int main(void)
{
    for (int i = 0; i < 3; i++) {
        errno = 1234 + i;
        CHECK(raise(SIGUSR1) == 0);
        CHECK(errno == 1234 + i);
    }
    return 0;
}
