/* Has a file of its own under every number that the library may have taken for one, and whatever the library finds there, it
 * writes nothing into it. The argument is the file's name; a second one asks for a picture in between. */
#include <fcntl.h>
#include <signal.h>

#include "check.h"

enum { FIRST = 300, LAST = 340 };

int main(int count, char **arguments)
{
    int file;

    CHECK(count >= 2);
    CHECK((file = open(arguments[1], O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0);
    CHECK(write(file, "mine", 4) == 4);
    for (int number = FIRST; number <= LAST; number++)
        CHECK(dup2(file, number) == number);
    if (count > 2)
        CHECK(raise(SIGUSR1) == 0);
    for (int i = 0; i < 100000; i++)
        free(malloc(100));
    CHECK(lseek(file, 0, SEEK_END) == 4);
    return 0;
}
