/* Forks when files may not be larger any more than a part of what was recorded. */
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"

int main(void)
{
    const struct rlimit limit = {30000, 30000};
    pid_t child;
    int status;

    for (int i = 0; i < 10000; i++)
        free(malloc(100));
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK((child = fork()) >= 0);
    if (child == 0) {
        free(malloc(100));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    _exit(0);
}
