/* mem_heap_create_with: every default, every option, and what is refused. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "mem.h"

enum { MIB = 1 << 20, BUFFER = 65536 };

static unsigned char buffer[BUFFER];

static struct mem_stats stats_of(struct mem_heap *heap)
{
    struct mem_stats stats;

    CHECK(mem_heap_stats(heap, &stats) == 0);
    return stats;
}

static struct mem_heap *made(const struct mem_heap_options *options)
{
    struct mem_heap *heap;

    errno = 1234;
    heap = mem_heap_create_with(options);
    CHECK(heap != NULL && errno == 1234);
    return heap;
}

static int refused(const struct mem_heap_options *options)
{
    errno = 0;
    return mem_heap_create_with(options) == NULL && errno == EINVAL;
}

/* A size is all that must be said: size classes in front of first fit, and no slab. */
static void defaults(void)
{
    struct mem_heap_options options = {0};
    struct mem_class_stats classes[MEM_CLASSES];
    struct mem_heap *heap;
    char *first, *second, *large;

    options.size = MIB;
    heap = made(&options);
    CHECK(stats_of(heap).slab.size == 0 && stats_of(heap).next_fit.size == MIB);
    first = mem_heap_alloc(heap, 100);
    second = mem_heap_alloc(heap, 97);
    large = mem_heap_alloc(heap, 1000);
    /* Side by side, with no header between them. */
    CHECK(first != NULL && second == first + 112 && large != NULL);
    CHECK(mem_heap_usable_size(heap, second) == 112);

    CHECK(mem_heap_class_stats(heap, NULL, 0) == MEM_CLASSES);
    CHECK(mem_heap_class_stats(heap, classes, MEM_CLASSES) == MEM_CLASSES);
    CHECK(classes[0].slot_size == 16 && classes[MEM_CLASSES - 1].slot_size == 512);
    CHECK(classes[6].slot_size == 112 && classes[6].slots == 2048 / 112);
    CHECK(classes[6].runs == 1 && classes[6].opened == 1);
    CHECK(classes[6].live_objects == 2 && classes[6].peak_runs == 1 && classes[6].allocs == 2 && classes[6].frees == 0);
    memset(classes, 0, sizeof classes);
    CHECK(mem_heap_class_stats(heap, classes, 1) == MEM_CLASSES);
    CHECK(classes[0].slot_size == 16 && classes[1].slot_size == 0);
    errno = 0;
    CHECK(mem_heap_class_stats(heap, NULL, 1) == -1 && errno == EINVAL);
    /* The run is one block. */
    CHECK(stats_of(heap).next_fit.live_objects == 2);

    CHECK(mem_heap_free(heap, second) == 0);
    CHECK(mem_heap_class_stats(heap, classes, MEM_CLASSES) == MEM_CLASSES);
    CHECK(classes[6].live_objects == 1 && classes[6].frees == 1);
    errno = 0;
    CHECK(mem_heap_free(heap, second) == -1 && errno == EINVAL);
    CHECK(mem_heap_free(heap, first + 16) == -1 && errno == EINVAL);
    CHECK(mem_heap_alloc(heap, 112) == second);
    CHECK(mem_heap_check(heap) == 0);
    CHECK(mem_heap_destroy(heap) == 0);
}

static void policies(void)
{
    static const int policies[] = {MEM_POLICY_DEFAULT, MEM_POLICY_NEXT_FIT, MEM_POLICY_FIRST_FIT, MEM_POLICY_GENERAL};

    for (int i = 0; i < 4; i++) {
        struct mem_heap_options options = {0};
        int has_classes = policies[i] == MEM_POLICY_DEFAULT || policies[i] == MEM_POLICY_GENERAL;
        struct mem_heap *heap;
        char *first, *second, *again;

        options.size = MIB;
        options.policy = policies[i];
        heap = made(&options);
        CHECK(mem_heap_class_stats(heap, NULL, 0) == (has_classes ? MEM_CLASSES : 0));
        first = mem_heap_alloc(heap, 32);
        second = mem_heap_alloc(heap, 32);
        CHECK(second == first + (has_classes ? 32 : 48));
        CHECK(mem_heap_free(heap, first) == 0);
        again = mem_heap_alloc(heap, 32);
        CHECK(again == (policies[i] == MEM_POLICY_NEXT_FIT ? second + 48 : first));
        CHECK(mem_heap_destroy(heap) == 0);
    }
}

static void slabs(void)
{
    for (int policy = MEM_POLICY_DEFAULT; policy <= MEM_POLICY_GENERAL; policy++) {
        struct mem_heap_options options = {0};
        struct mem_heap *heap;

        options.size = MIB;
        options.policy = policy;
        options.slab_size = 64;
        heap = made(&options);
        CHECK(stats_of(heap).slab.size == MIB / 4 && stats_of(heap).next_fit.size == MIB / 4 * 3);
        CHECK(mem_heap_alloc(heap, 64) != NULL && stats_of(heap).slab.live_objects == 1);
        CHECK(mem_heap_destroy(heap) == 0);
        options.slab_bytes = MIB / 2;
        heap = made(&options);
        CHECK(stats_of(heap).slab.size == MIB / 2);
        CHECK(mem_heap_destroy(heap) == 0);
    }
}

static void in_a_buffer(void)
{
    struct mem_heap_options options = {0};
    struct mem_heap *heap;
    unsigned char *object;

    options.size = sizeof buffer;
    options.buffer = buffer;
    heap = made(&options);
    CHECK((unsigned char *)heap >= buffer && (unsigned char *)heap < buffer + sizeof buffer);
    /* The first four exist in so small a heap. */
    CHECK(mem_heap_class_stats(heap, NULL, 0) == 4);
    CHECK((object = mem_heap_alloc(heap, 60)) > buffer && object + 60 <= buffer + sizeof buffer);
    CHECK(mem_heap_usable_size(heap, object) == 64);
    CHECK(stats_of(heap).next_fit.size > BUFFER - BUFFER / 16);
    CHECK(mem_heap_destroy(heap) == 0);

    options.size = 2048; /* always enough */
    heap = made(&options);
    CHECK(mem_heap_class_stats(heap, NULL, 0) == 0 && mem_heap_alloc(heap, 60) != NULL);
    CHECK(mem_heap_destroy(heap) == 0);
    options.size = 100;
    CHECK(refused(&options));
}

/* A hardened heap knows each byte that was asked for, and finds those that are written beside them. */
static void hardened(void)
{
    static const int policies[] = {MEM_POLICY_DEFAULT, MEM_POLICY_FIRST_FIT};

    for (int i = 0; i < 4; i++) {
        struct mem_heap_options options = {0};
        struct mem_heap *heap;
        char *object, *again;

        options.size = i < 2 ? MIB : BUFFER;
        options.buffer = i < 2 ? NULL : buffer;
        options.policy = policies[i % 2];
        options.flags = MEM_HARDENED;
        memset(buffer, 3, sizeof buffer);
        heap = made(&options);
        CHECK((object = mem_heap_alloc(heap, 20)) != NULL && memcmp(object, (char[20]){0}, 20) == 0);
        CHECK(mem_heap_usable_size(heap, object) == 20);
        object[20] = 'A';
        errno = 0;
        CHECK(mem_heap_free(heap, object) == -1 && errno == EINVAL);
        CHECK(mem_heap_realloc(heap, object, 50) == NULL && mem_heap_check(heap) == -1 && errno == EUCLEAN);
        CHECK(mem_heap_repair(heap) == 1 && mem_heap_check(heap) == 0);
        CHECK(mem_heap_free(heap, object) == 0);
        /* It is not handed out again at once. */
        CHECK((again = mem_heap_alloc(heap, 20)) != NULL && again != object);
        errno = 0;
        CHECK(mem_heap_free(heap, object) == -1 && errno == EINVAL);
        object[5] = 'A';
        CHECK(mem_heap_check(heap) == -1);
        CHECK(mem_heap_destroy(heap) == 0);

        options.slab_size = 64;
        CHECK(refused(&options));
        options.slab_size = 0;
        options.policy = MEM_POLICY_NEXT_FIT;
        CHECK(refused(&options));
    }
    CHECK(mem_heap_create(MIB, 64, MEM_HARDENED) == NULL);
}

static void wrong_options(void)
{
    struct mem_heap_options options = {0}, wrong;
    struct mem_heap *heap;

    CHECK(refused(NULL));
    CHECK(refused(&options)); /* no size */
    options.size = MIB;
    wrong = options;
    wrong.size = SIZE_MAX;
    CHECK(refused(&wrong));
    wrong = options;
    wrong.size = ((size_t)1 << 36) + 1;
    CHECK(refused(&wrong));
    wrong = options;
    wrong.policy = MEM_POLICY_GENERAL + 1;
    CHECK(refused(&wrong));
    wrong = options;
    wrong.policy = -1;
    CHECK(refused(&wrong));
    wrong = options;
    wrong.flags = MEM_FIRST_FIT; /* a policy says so */
    CHECK(refused(&wrong));
    wrong = options;
    wrong.flags = -1;
    CHECK(refused(&wrong));
    wrong = options;
    wrong.slab_bytes = 4096; /* of which slots? */
    CHECK(refused(&wrong));
    wrong.slab_size = 64;
    wrong.slab_bytes = MIB;
    CHECK(refused(&wrong));
    wrong.slab_bytes = SIZE_MAX;
    CHECK(refused(&wrong));
    for (int i = 0; i < 4; i++) {
        wrong = options;
        wrong.reserved[i] = 1;
        CHECK(refused(&wrong));
    }
    options.flags = MEM_REPORT;
    heap = made(&options);
    CHECK(mem_heap_destroy(heap) == 0);
}

int main(void)
{
    defaults();
    policies();
    slabs();
    in_a_buffer();
    hardened();
    wrong_options();
    return 0;
}
