/* After a fork parent and child have a heap each, and neither sees what the other does with it. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "mem.h"

int main(void)
{
    char *object;
    int status;
    pid_t child;

    CHECK(Mem_Init(PAGE, SLAB_SIZE) != NULL);
    object = Mem_Alloc(32);
    CHECK(object != NULL);
    strcpy(object, "parent");

    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(strcmp(object, "parent") == 0);
        strcpy(object, "child");
        CHECK(Mem_Free(object) == 0);
        CHECK(Mem_Alloc(PAGE - SLAB_SEGMENT - HEADER) == object);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(strcmp(object, "parent") == 0);
    CHECK(Mem_Alloc(32) == object + 48);
    CHECK(Mem_Free(object) == 0);
    return 0;
}
