/* While the process forks, as often as the second argument says, a thread does what the first one names with libc's own
 * locks in hand, and asks for memory meanwhile. No fork waits for it, and every child has a heap. (Of these locks libc makes
 * those of its files anew for a child, and no other.)
 *
 *   lines   getline on a buffer that grows, beside another thread that flushes all files
 *   phdr    dl_iterate_phdr, whose callback allocates
 *   locale  newlocale and setlocale
 *   pipes   popen and pclose
 *   spawn   posix_spawn
 *   names   getpwnam and getservbyname, which read files */
#define _GNU_SOURCE
#include <link.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "check.h"

/* Only what hangs meets it. */
enum { SECONDS = 50 };

static atomic_int done;

static void read_lines(void)
{
    static __thread FILE *file;
    char *line = NULL;
    size_t size = 0;

    if (file == NULL) {
        CHECK((file = tmpfile()) != NULL);
        for (int i = 0; i < 20; i++) {
            for (int j = 0; j < 40 * i; j++)
                fputc('x', file);
            fputc('\n', file);
        }
    }
    rewind(file);
    while (getline(&line, &size, file) > 0) {
        free(line);
        line = NULL;
        size = 0;
    }
    free(line);
}

static void flush_all(void)
{
    CHECK(fflush(NULL) == 0);
}

static int met(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)info;
    (void)unused;
    free(malloc(size + 100));
    return 0;
}

static void iterate(void)
{
    CHECK(dl_iterate_phdr(met, NULL) == 0);
}

static void change_locale(void)
{
    locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);

    if (locale != (locale_t)0)
        freelocale(locale);
    CHECK(setlocale(LC_ALL, "C") != NULL);
}

static void open_pipe(void)
{
    FILE *pipe = popen("exit 3", "r");

    CHECK(pipe != NULL);
    CHECK(WEXITSTATUS(pclose(pipe)) == 3);
}

static void spawn(void)
{
    char *arguments[] = {"true", NULL};
    char *environment[] = {NULL};
    pid_t child;
    int status;

    CHECK(posix_spawnp(&child, "true", NULL, NULL, arguments, environment) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void look_up(void)
{
    setpwent();
    getpwnam("nobody");
    endpwent();
    getservbyname("http", "tcp");
}

static const struct {
    const char *name;
    void (*work)(void);
    void (*beside)(void);
    int in_children;
} works[] = {
    {"lines", read_lines, flush_all, 1}, {"phdr", iterate, iterate, 0}, {"locale", change_locale, change_locale, 0},
    {"pipes", open_pipe, flush_all, 0},  {"spawn", spawn, flush_all, 1}, {"names", look_up, flush_all, 0},
};

static void *repeat(void *work)
{
    while (!done)
        ((void (*)(void))work)();
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t threads[2];
    size_t which = 0;
    int forks;

    CHECK(count == 3);
    while (strcmp(works[which].name, arguments[1]) != 0)
        CHECK(++which < sizeof works / sizeof *works);
    forks = atoi(arguments[2]);
    CHECK(pthread_create(&threads[0], NULL, repeat, (void *)works[which].work) == 0);
    CHECK(pthread_create(&threads[1], NULL, repeat, (void *)works[which].beside) == 0);
    for (int i = 0; i < forks; i++) {
        pid_t child;
        int status;

        alarm(SECONDS); /* for each of them */
        child = fork();

        CHECK(child >= 0);
        if (child == 0) {
            alarm(SECONDS);
            free(malloc(1000));
            if (works[which].in_children && i % 16 == 0) {
                works[which].work();
                works[which].beside();
            }
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    done = 1;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
