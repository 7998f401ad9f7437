/* Does one wrong thing with memory, which the arguments name, as: misuse overflow 24 8 loop. Prints the object's address first, and what
 * it has seen last. Ends with status 0 if nobody stops it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <pthread.h>
#include <unistd.h>
#include <wchar.h>

#define FILLERS 600

static char source[1 << 20];
static char global[64];
static size_t size, amount;
static const char *how;

/* No compiler sees where it points. */
static char *volatile hidden;

static char *tell(void *object)
{
    char line[32];
    int length = snprintf(line, sizeof line, "%p\n", object);

    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(2);
    return hidden = object;
}

static void say(const char *words)
{
    if (write(STDOUT_FILENO, words, strlen(words)) < 0)
        _exit(2);
}

/* A byte of ASCII, written so often from there on. */
static void scribble(char *at, size_t count)
{
    if (strcmp(how, "copy") == 0)
        memcpy(at, source, count);
    else
        for (volatile char *byte = at; count > 0; count--)
            *byte++ = 'A';
}

/* The same towards lower addresses. */
static void scribble_down(char *end, size_t count)
{
    if (strcmp(how, "copy") == 0)
        memcpy(end - count, source, count);
    else
        for (volatile char *byte = end; count > 0; count--)
            *--byte = 'A';
}

/* More than a MiB of live objects below what comes next. */
static void fill(void)
{
    for (int i = 0; i < FILLERS; i++)
        hidden = malloc(2000);
}

/* Bytes of a slot of so many bytes under a hardened heap. */
static ptrdiff_t stride(void)
{
    return (ptrdiff_t)((size + 8 + 15) / 16 * 16);
}

/* An object of so many bytes; of a small size one with a live neighbour before it. */
static char *with_neighbour(void)
{
    static char *all[64];

    if (size > 500)
        return malloc(size);
    for (int i = 0; i < 64; i++)
        all[i] = malloc(size);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++)
            if (all[i] - stride() == all[j])
                return all[i];
    _exit(2);
}

static void overflow(void)
{
    char *object = tell(malloc(size));

    scribble(object + size, amount);
    free(object);
}

static void underflow(void)
{
    char *object;

    fill();
    object = tell(with_neighbour());
    scribble_down(object, amount);
    free(object);
}

/* The object after the one that was written past is freed first. */
static void neighbour(void)
{
    char *object = tell(with_neighbour());

    scribble(object - 8, amount);
    free(object);
}

/* What else makes and writes an object. */
static void one_more(void)
{
    char *object = NULL;
    void *place = NULL;

    memset(source, 'A', sizeof source);
    source[size] = 0;
    if (strcmp(how, "strcpy") == 0)
        strcpy(object = tell(malloc(size)), source);
    else if (strcmp(how, "sprintf") == 0)
        sprintf(object = tell(malloc(size)), "%s", source);
    else if (strcmp(how, "strcat") == 0)
        strcat(object = tell(calloc(1, size)), source);
    else if (strcmp(how, "memset") == 0)
        memset(object = tell(malloc(size)), 'A', size + 1);
    else if (strcmp(how, "calloc") == 0)
        (object = tell(calloc(size / 4, 4)))[size] = 'A';
    else if (strcmp(how, "realloc") == 0)
        (object = tell(realloc(malloc(10), size)))[size] = 'A';
    else if (strcmp(how, "shrunk") == 0)
        (object = tell(realloc(malloc(size + 3), size)))[size] = 'A';
    else if (strcmp(how, "aligned_alloc") == 0)
        (object = tell(aligned_alloc(64, size)))[size] = 'A';
    else if (strcmp(how, "posix_memalign") == 0)
        (object = posix_memalign(&place, 64, size) ? NULL : tell(place))[size] = 'A';
    else if (strcmp(how, "strdup") == 0)
        (object = tell(strdup(source)))[size + 1] = 'A';
    else if (strcmp(how, "wmemset") == 0)
        wmemset((wchar_t *)(object = tell(malloc(size))), 0x41414141, size / sizeof(wchar_t) + 1);
    else
        _exit(2);
    free(object);
}

/* A realloc finds it as well. */
static void before_realloc(void)
{
    char *object = tell(malloc(size));

    object[size] = 'A';
    hidden = realloc(object, 2 * size);
}

static void read_after(void)
{
    char *object = malloc(size);

    hidden = malloc(size); /* it cannot grow where it is */
    memset(object, 'A', size);
    tell(object);
    if (strcmp(how, "realloc") == 0)
        hidden = realloc(object, 3 * size);
    else
        free(object);
    for (size_t at = 0; at < size; at++)
        if (((volatile char *)object)[at] == 'A') {
            say("there\n");
            return;
        }
    say("gone\n");
}

static void write_after(void)
{
    char *object = with_neighbour(), *between = malloc(size);

    if (size < 500) /* and so a live neighbour after it */
        object -= stride();
    tell(object);
    free(object);
    scribble(strcmp(how, "last") == 0 ? object + size - amount : object + (strcmp(how, "fifth") == 0 ? 5 : 0), amount);
    for (int i = 0; i < 3000; i++)
        free(hidden = malloc(size));
    free(between);
}

static void *free_it(void *object)
{
    free(object);
    return NULL;
}

static void twice(void)
{
    char *object = tell(malloc(size)), *other = malloc(size);
    pthread_t thread;

    free(object);
    if (strcmp(how, "interleaved") == 0)
        free(other);
    else if (strcmp(how, "delayed") == 0)
        for (int i = 0; i < 60; i++)
            free(hidden = malloc(i % 2 == 0 ? size : 40));
    else if (strcmp(how, "reused") == 0)
        hidden = malloc(size);
    else if (strcmp(how, "thread") == 0) {
        pthread_create(&thread, NULL, free_it, object);
        pthread_join(thread, NULL);
        return;
    } else if (strcmp(how, "realloc") == 0) {
        hidden = realloc(object, size + 1);
        return;
    }
    free(object);
}

/* The address from before a realloc that has moved the object. */
static void moved(void)
{
    char *object = malloc(size);

    hidden = malloc(size); /* it cannot grow where it is */
    tell(object);
    hidden = realloc(object, 3 * size);
    free(object);
}

static void wrong_address(void)
{
    char local[64], *object = malloc(2000);

    if (strcmp(how, "stack") == 0)
        tell(local + 16);
    else if (strcmp(how, "global") == 0)
        tell(global + 16);
    else if (strcmp(how, "constant") == 0)
        tell((char *)"a constant");
    else if (strcmp(how, "function") == 0)
        tell((void *)(uintptr_t)&wrong_address);
    else if (strcmp(how, "mapped") == 0)
        tell(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    else if (strcmp(how, "number") == 0)
        tell((void *)(uintptr_t)4096);
    else if (strcmp(how, "interior") == 0)
        tell((char *)malloc(size) + 16);
    else if (strcmp(how, "misaligned") == 0)
        tell((char *)malloc(size) + 1);
    else if (strcmp(how, "header") == 0)
        tell(object - 16);
    else if (strcmp(how, "never") == 0)
        tell(object + (100 << 20));
    else
        _exit(2);
    if (amount == 0)
        free(hidden);
    else
        hidden = realloc(hidden, amount);
}

static void sized(void)
{
    void (*free_sized)(void *, size_t), (*free_aligned_sized)(void *, size_t, size_t);
    char *object;

    *(void **)&free_sized = dlsym(RTLD_DEFAULT, "free_sized");
    *(void **)&free_aligned_sized = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    object = tell(strcmp(how, "aligned") == 0 ? aligned_alloc(64, size) : malloc(size));
    if (free_sized == NULL || free_aligned_sized == NULL) /* glibc has them from 2.43 on */
        free(object);
    else if (strcmp(how, "aligned") == 0)
        free_aligned_sized(object, 64, amount);
    else
        free_sized(object, amount);
}

static void nothing(void)
{
    volatile char *object = tell(strcmp(how, "calloc") == 0 ? calloc(0, 8) : malloc(0));

    if (amount == 0)
        hidden = (char *)(uintptr_t)*object;
    else
        *object = 'A';
    free((char *)object);
}

/* What nobody can find, or nobody in time: see the list beside the test. */
static void unseen(void)
{
    char *object = tell(malloc(size)), *other = malloc(size);

    if (strcmp(how, "read past") == 0)
        hidden = (char *)(uintptr_t)((volatile char *)object)[size];
    else if (strcmp(how, "jump") == 0) {
        object = with_neighbour();
        object[-stride() + 8] = 'A';
        free(object);
    } else if (strcmp(how, "put back") == 0) {
        char before = ((volatile char *)object)[size];

        object[size] = 'A';
        object[size] = before;
        free(object);
    } else if (strcmp(how, "never freed") == 0)
        object[size] = 'A';
    else if (strcmp(how, "never reused") == 0) {
        free(object);
        *object = 'A';
    } else if (strcmp(how, "reused late") == 0) {
        free(object);
        for (int i = 0; i < 100000; i++)
            if ((other = malloc(size)) == object)
                break;
            else
                free(other);
        free(object);
    } else if (strcmp(how, "leak") == 0)
        hidden = NULL;
    else
        _exit(2);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } kinds[] = {
        {"overflow", overflow}, {"underflow", underflow}, {"neighbour", neighbour}, {"one-more", one_more},
        {"before-realloc", before_realloc}, {"read-after", read_after}, {"write-after", write_after}, {"twice", twice},
        {"moved", moved}, {"wrong-address", wrong_address}, {"sized", sized}, {"nothing", nothing}, {"unseen", unseen},
    };
    struct rlimit no_core = {0, 0};

    if (count != 5)
        return 2;
    setrlimit(RLIMIT_CORE, &no_core);
    memset(source, 'A', sizeof source);
    size = strtoul(arguments[2], NULL, 10);
    amount = strtoul(arguments[3], NULL, 10);
    how = arguments[4];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(arguments[1], kinds[i].name) == 0) {
            kinds[i].run();
            return 0;
        }
    return 2;
}
