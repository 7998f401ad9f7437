/* Five ways to use memory and let go of it: what is resident on the way and at the end, a line for each look, in KiB.
 * Argument: which. Nothing here is random but by a generator of its own, so that each run asks for the same. */
#include "check.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { MOST = 1 << 20 };

static char *objects[MOST];
static size_t sizes[MOST];
static uint32_t state = 2463534242u;

static uint32_t below(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % bound;
}

static void look(const char *when)
{
    printf("%s %zu\n", when, resident() / KIB);
}

/* Makes object number i, all of it written. */
static void make(size_t i, size_t size)
{
    CHECK((objects[i] = malloc(size)) != NULL);
    memset(objects[i], (int)i, size);
    sizes[i] = size;
}

static void give_back(size_t i)
{
    free(objects[i]);
    objects[i] = NULL;
}

/* Small requests that come and go, as after the load they do. */
static void trickle(int count)
{
    while (count-- > 0) {
        char *object = malloc(16 + below(500));

        CHECK(object != NULL);
        *(volatile char *)object = 1;
        free(object);
    }
}

static size_t mixed(void)
{
    uint32_t kind = below(100);

    return kind < 80 ? 16 + below(240) : kind < 98 ? 256 + below(4096) : 4096 + below(60000);
}

static void few_large(void)
{
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            make(i, 16 * MIB);
        look("most");
        for (int i = 0; i < 10; i++)
            give_back(i);
        look("freed");
    }
}

static void many_small(void)
{
    for (int i = 0; i < MOST; i++)
        make(i, 1 + below(200));
    look("most");
    for (int start = 0; start < 7; start++) {
        for (int i = start; i < MOST; i += 7)
            give_back(i);
        look("freed");
    }
}

static void saw_tooth(void)
{
    size_t count = 0, live = 0;

    for (int tooth = 0; tooth < 8; tooth++) {
        while (live < 80 * MIB) {
            make(count, mixed());
            live += sizes[count++];
        }
        look("most");
        while (live > 4 * MIB) {
            size_t i = below((uint32_t)count);

            live -= sizes[i];
            give_back(i);
            objects[i] = objects[--count];
            sizes[i] = sizes[count];
        }
        look("freed");
    }
    while (count > 0)
        give_back(--count);
}

/* Sessions of 100 objects; each request makes and frees 50 more. */
static void server(void)
{
    enum { SESSIONS = 1500, EACH = 100 };

    for (int session = 0; session < SESSIONS; session++) {
        for (int i = 0; i < EACH; i++)
            make((size_t)session * EACH + i, mixed());
        for (int i = 0; i < 50; i++)
            make(MOST - 50 + i, mixed());
        for (int i = 0; i < 50; i++)
            give_back(MOST - 50 + i);
    }
    look("most");
    for (int left = SESSIONS; left > 0; left--) {
        /* All but the first twenty come to their end in some order. */
        size_t session = left > 20 ? 20 + below(SESSIONS - 20) : 20;

        while (left > 20 && objects[session * EACH] == NULL)
            session = session + 1 < SESSIONS ? session + 1 : 20;
        for (int i = 0; left > 20 && i < EACH; i++)
            give_back(session * EACH + i);
    }
    look("idle");
    trickle(20000);
    look("idle");
}

/* One in a hundred stays. */
static void minority(void)
{
    enum { COUNT = 300000 };

    for (int i = 0; i < COUNT; i++)
        make(i, mixed() % 2000 + 1);
    look("most");
    for (int i = 0; i < COUNT; i++)
        if (below(100) != 0)
            give_back(i);
    look("freed");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } patterns[] = {
        { "few-large", few_large }, { "many-small", many_small }, { "saw-tooth", saw_tooth },
        { "server", server }, { "minority", minority },
    };

    CHECK(argc == 2);
    setvbuf(stdout, NULL, _IONBF, 0);
    memset(objects, 1, sizeof objects);
    memset(objects, 0, sizeof objects);
    memset(sizes, 1, sizeof sizes);
    look("start");
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (strcmp(argv[1], patterns[i].name) == 0) {
            patterns[i].run();
            trickle(2000);
            look("end");
            return 0;
        }
    return 1;
}
