/* mem.h - libmem: heaps of a fixed size, one for the whole process and any number with handles.
 *
 * The first quarter of a heap is the slab segment: slots of slab_size bytes, side by side. The rest is the block
 * segment: blocks, each with a header in front. A request of exactly slab_size bytes is served from the slab segment,
 * or from the block segment once that is full; every other request from the block segment. A heap never grows.
 * (mem_heap_create_with also makes heaps with a slab of another size, or none, and with size classes for small requests.)
 *
 * All functions may be called from any thread, and from a signal handler: there, where the thread was interrupted
 * inside the same heap and would have to wait, they fail at once, with EDEADLK. Inside of them a thread must not be
 * cancelled asynchronously, and a handler must neither leave them by siglongjmp nor fork: the heap would stay locked.
 * After a fork the child can use the heap of the process; one with a handle only if no other thread was in it then.
 *
 * A failure is a return value (NULL, -1, or 0 for a number of bytes), and errno says why; nothing has changed then. A
 * call that succeeds leaves errno alone. See also mem(3).
 *
 * This is the library on Linux. On a microcontroller a part of it is there, and nothing of libc: see below.
 *
 * Compile: cc program.c -I include -L lib -Wl,-rpath,lib -lmem
 *     or:  cc program.c $(pkg-config --cflags --libs mem)
 */
#ifndef SLABFIT_MEM_H
#define SLABFIT_MEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What stands in the magic field of every allocated block's header. */
#define MAGIC 0x5077604

/* The headers in the heap. Read them as you like; the library does not follow them. On Linux both are 16 bytes with their
 * second field at byte 8, so where pointers are shorter there is padding. On 32-bit targets without an operating system they
 * are 8 bytes, and so is what this header calls 16 bytes. length saturates at INT_MAX. */
#if defined(__linux__) && defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ == 4
#define SLABFIT_PAD(name) int name;
#else
#define SLABFIT_PAD(name)
#endif

/* Begins every free block, and every free slot that was used before. */
struct FreeHeader {
    int length;              /* bytes after the header of a free block; all bytes of a free slot */
    SLABFIT_PAD(pad_middle)
    struct FreeHeader *next; /* the next free block or slot by address, or NULL */
    SLABFIT_PAD(pad_end)
};

/* Begins every allocated block; the payload follows it. An allocated slot has no header. */
struct AllocatedHeader {
    int length;              /* bytes of payload */
    SLABFIT_PAD(pad_middle)
    void *magic;             /* (void *)MAGIC, unless something has written over it */
    SLABFIT_PAD(pad_end)
};

#undef SLABFIT_PAD

/* Figures of one segment. Sizes count whole slots, or whole blocks with their headers. */
struct mem_segment_stats {
    size_t size;                    /* bytes of the segment */
    size_t live_bytes;              /* allocated now */
    size_t peak_bytes;              /* the most that ever were */
    size_t live_objects;            /* allocated now */
    size_t peak_objects;            /* the most that ever were */
    size_t free_bytes;              /* bytes that are free now */
    size_t largest_free;            /* bytes of the largest free block or slot */
    size_t free_blocks;             /* how many free blocks or slots there are */
    unsigned long allocs;           /* requests that were served */
    unsigned long frees;            /* frees that were accepted */
    unsigned long failed_full;      /* requests that failed because fewer bytes were free than they needed */
    unsigned long failed_fragmented; /* requests that failed although enough bytes were free */
    unsigned long refused_frees;    /* frees and reallocs of wrong addresses in this segment */
    unsigned long corruptions;      /* those among them that found a live block's header overwritten */
};

/* Figures of a heap. A request that no segment could serve is counted as failed in next_fit, which is the block segment
 * whatever the policy. With size classes a run counts there as one live block, and its slots in mem_heap_class_stats. */
struct mem_stats {
    struct mem_segment_stats slab;
    struct mem_segment_stats next_fit;
    unsigned long spilled;          /* requests passed on as no slot was free: by the slab, by a size class to a block */
    unsigned long refused_outside;  /* refused frees and reallocs, in neither segment */
};

/* Figures of one size class. A run is a piece of the block segment that is cut into slots of one size. */
struct mem_class_stats {
    size_t slot_size;               /* bytes of a slot */
    size_t runs;                    /* runs that the class has now */
    size_t peak_runs;               /* the most that it ever had at once */
    unsigned long opened;           /* runs that it ever had: each is a request in the allocs of the block segment */
    size_t slots;                   /* slots in these runs */
    size_t live_objects;            /* slots that are allocated now */
    unsigned long allocs;           /* requests that were served */
    unsigned long frees;            /* frees that were accepted */
};

/* The size classes that a heap has at most. */
#define MEM_CLASSES 16

#ifndef __linux__
/*
 * Without an operating system
 *
 * libmem.a has the heaps with handles that lie in the caller's memory: mem_heap_create_in, mem_heap_create_with with a buffer,
 * and what works on them but mem_heap_dump. There is no errno, and MEM_REPORT is an unknown flag. The program defines two
 * functions, which every call of the library has around what must not be interrupted, and which nest. On a Cortex-M:
 *
 *     unsigned long mem_lock(void)
 *     {
 *         unsigned long state;
 *         __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(state) : : "memory");
 *         return state;
 *     }
 *
 *     void mem_unlock(unsigned long state)
 *     {
 *         __asm__ volatile("msr primask, %0" : : "r"(state) : "memory");
 *     }
 */

/* Keeps out everybody else who uses a heap. Returns what mem_unlock needs to restore what was before. */
unsigned long mem_lock(void);

/* Lets in whom the mem_lock that returned state kept out. */
void mem_unlock(unsigned long state);
#endif

#ifdef __linux__
/*
 * The heap of the process
 */

/* Maps a heap of size bytes, rounded up to whole pages and all of it usable, with slots for objects of slab_size bytes.
 * To be called once.
 *
 * Returns the heap's first byte. NULL if size or slab_size is not above 0 (EINVAL), if the system has no memory
 * (ENOMEM), or if there is a heap already (EBUSY); a failed call changes nothing, and where there was no heap it may be
 * repeated. */
void *Mem_Init(int size, int slab_size);

/* Allocates size bytes, aligned to 16. Exactly slab_size bytes are zero-filled, wherever they come from.
 *
 * Returns NULL before Mem_Init or if size is not above 0 (EINVAL), or if there is no room (ENOMEM). */
void *Mem_Alloc(int size);

/* Allocates count objects of size bytes each, side by side and zero-filled. Otherwise as Mem_Alloc. */
void *Mem_Calloc(int count, int size);

/* Allocates size bytes at a multiple of alignment, which is a power of two (EINVAL). Otherwise as Mem_Alloc, but
 * nothing is zero-filled. */
void *Mem_AllocAligned(int alignment, int size);

/* Gives an object another size: where it stands if there is room, otherwise as Mem_Alloc, copy and Mem_Free. What lies
 * after the old contents is not zero-filled. For a ptr of NULL it allocates a new object.
 *
 * Returns the object's address from now on. NULL if size is not above 0 or ptr is not the start of a live object
 * (EINVAL; for the latter a line on standard error as Mem_Free writes it), or if there is no room (ENOMEM); the object
 * is then as it was. */
void *Mem_Realloc(void *ptr, int size);

/* Frees an object. NULL is allowed and does nothing.
 *
 * Returns 0; -1 if ptr is not the start of a live object (EINVAL). Then nothing has changed, and one line on standard
 * error says what is wrong with ptr:
 *     SEGFAULT: Mem_Free(0x7f0123456789): outside the heap
 *     Mem_Free(0x7f0123456780): double free
 * The other faults are "misaligned", "not the start of an object", "never allocated", "header overwritten" (the
 * block's header is not what the library wrote; it stays live) and "called while this thread holds the lock" (from
 * a signal handler: EDEADLK). An address that was handed out again since is the start of a live object: freeing it
 * frees that. */
int Mem_Free(void *ptr);

/* Bytes that an object can hold: those asked for, rounded up. All of them may be used.
 *
 * Returns 0 for NULL, and for any other address that is not the start of a live object (EINVAL). */
size_t Mem_UsableSize(const void *ptr);

/* Looks through the whole heap: everything the library knows of it, and every header that lies in it.
 *
 * Returns 0 if all is as it must be, also before Mem_Init. Otherwise -1 (EUCLEAN), and one line on standard error names
 * the first thing found:
 *     Mem_Check: 0x7f0123456780: header overwritten */
int Mem_Check(void);

/* Rewrites every header in the heap that is not what the library wrote.
 *
 * Returns how many there were; -1 if it was called in the middle of another call (EDEADLK). */
long Mem_Repair(void);

/* Stores the heap's figures.
 *
 * Returns 0; -1 if stats is NULL (EINVAL). */
int Mem_Stats(struct mem_stats *stats);

/* Prints both segments to standard output, the file descriptor: what stands in stdio's buffer comes after it unless it
 * is flushed (fflush(stdout)) before. */
void Mem_Dump(void);
#endif

/*
 * Heaps with handles
 *
 * Every function takes the heap's handle first and fails with EINVAL if that is NULL or points to something else that
 * can be read. Objects belong to the heap that they come from: to every other heap they are outside.
 */
struct mem_heap;

/* Flags of mem_heap_create and mem_heap_create_in, to be or-ed; 0 for none. In struct mem_heap_options, whose policy says
 * the first, MEM_REPORT and MEM_HARDENED are allowed; the latter there alone. */
#define MEM_FIRST_FIT 1 /* search for free blocks from the segment's start, not from where the last search ended */
#define MEM_REPORT 2    /* also write a line to standard error where the process's heap would */
#define MEM_HARDENED 4  /* find what the program does wrong with its objects: see mem_heap_create_with */

/* How a heap places objects: struct mem_heap_options. */
#define MEM_POLICY_DEFAULT 0   /* the one that suits most programs: MEM_POLICY_GENERAL */
#define MEM_POLICY_NEXT_FIT 1  /* search for free blocks from where the last search ended */
#define MEM_POLICY_FIRST_FIT 2 /* search from the segment's start */
#define MEM_POLICY_GENERAL 3   /* size classes for requests of up to 512 bytes, first fit for the others */

/* What a heap is to be like. Clear the whole struct, and set what matters to you: a member that is 0 means its default.
 *
 *     struct mem_heap_options options = {0};
 *     options.size = 1 << 20;
 *     heap = mem_heap_create_with(&options);
 *
 * A later version may give a reserved member a meaning, whose default is 0. So the struct keeps its size, programs need not
 * tell it, and one that was compiled with an older header gets what it always got. A library refuses reserved members that
 * are not 0: it does not know what they ask for. */
struct mem_heap_options {
    size_t size;        /* bytes of the heap; of the buffer, if there is one */
    size_t slab_size;   /* bytes of the requests that the slab serves; 0: there is no slab */
    size_t slab_bytes;  /* bytes of the slab segment; 0: a quarter of the heap */
    void *buffer;       /* the caller's memory for the heap, as for mem_heap_create_in; NULL: pages of its own */
    int policy;         /* MEM_POLICY_..; 0: MEM_POLICY_GENERAL */
    int flags;          /* MEM_REPORT and MEM_HARDENED, or-ed; or 0 */
    size_t reserved[4]; /* 0 */
};

#ifdef __linux__
/* Maps a heap of size bytes, rounded up to whole pages and all of it usable, with slots for objects of slab_size bytes.
 * The heap, what the library knows of it, and the handle lie apart, between pages that nobody can touch.
 *
 * Returns the handle. NULL if size or slab_size is 0, if size is above 64 GiB, or if there are unknown flags (EINVAL),
 * or if the system has no memory (ENOMEM). */
struct mem_heap *mem_heap_create(size_t size, size_t slab_size, int flags);
#endif

/* Makes a heap of the caller's own buffer, which must last until mem_heap_destroy. The handle and what the library
 * knows of the heap take up the buffer's start, some 1000 bytes and 2% of the rest, below every object, so that a write
 * past an object's end moves away from them. 2048 bytes are always enough for a small heap; the buffer may start
 * anywhere.
 *
 * Returns the handle. NULL if buffer is NULL, size is too small or above 64 GiB, slab_size is 0, or there are unknown
 * flags (EINVAL). */
struct mem_heap *mem_heap_create_in(void *buffer, size_t size, size_t slab_size, int flags);

/* Makes a heap as options says: in pages of its own, as mem_heap_create does, or in a buffer, as mem_heap_create_in does.
 * Size classes take 1% of a buffer and up to 3 KiB more from its start; below 32 KiB there are none.
 *
 * With MEM_HARDENED the heap finds what the program writes past an object's end, before its start and after its free:
 * mem_heap_free and mem_heap_realloc refuse an object that was written past (EINVAL; it stays live), mem_heap_check fails
 * (EUCLEAN), and mem_heap_repair puts right what was written. With MEM_REPORT a line says what was found, whichever call
 * finds it:
 *     0x7f0123456780: 1 byte written past the end of an object of 24 bytes
 *     0x7f0123456780: 4 bytes written after the free, at offset 8
 * Freed memory is cleared, and waits for some 64 frees of its size before it is handed out again, in random order. In pages
 * of its own, objects of 64 KiB and more stand between pages that nobody can touch. What can be used of an object is what was asked for.
 * Such a heap has neither next fit nor a slab, and takes 7% of a buffer and up to 7 KiB more from its start.
 *
 * Returns the handle. NULL if options is NULL, size is 0 or above 64 GiB or too small for a buffer, slab_bytes is not below
 * size or is set without a slab_size, or policy, flags or a reserved member has an unknown value, or MEM_HARDENED stands beside
 * MEM_POLICY_NEXT_FIT or a slab_size (EINVAL); if the system has no memory (ENOMEM), or no random numbers (ENOSYS). */
struct mem_heap *mem_heap_create_with(const struct mem_heap_options *options);

/* Allocates size bytes, aligned to 16; they are not zero-filled.
 *
 * Returns NULL if size is 0 (EINVAL), or if there is no room (ENOMEM). */
void *mem_heap_alloc(struct mem_heap *heap, size_t size);

/* Allocates count objects of size bytes each, side by side and zero-filled. Otherwise as mem_heap_alloc. */
void *mem_heap_calloc(struct mem_heap *heap, size_t count, size_t size);

/* Allocates size bytes at a multiple of alignment, which is a power of two (EINVAL). Otherwise as mem_heap_alloc. */
void *mem_heap_alloc_aligned(struct mem_heap *heap, size_t alignment, size_t size);

/* As Mem_Realloc, for an object of this heap. */
void *mem_heap_realloc(struct mem_heap *heap, void *ptr, size_t size);

/* As Mem_Free, for an object of this heap. The line on standard error comes with MEM_REPORT only. */
int mem_heap_free(struct mem_heap *heap, void *ptr);

/* As Mem_UsableSize, for an object of this heap. */
size_t mem_heap_usable_size(struct mem_heap *heap, const void *ptr);

/* As Mem_Check, for this heap. The line on standard error comes with MEM_REPORT only. */
int mem_heap_check(struct mem_heap *heap);

/* As Mem_Repair, for this heap. */
long mem_heap_repair(struct mem_heap *heap);

/* As Mem_Stats, for this heap. */
int mem_heap_stats(struct mem_heap *heap, struct mem_stats *stats);

/* Stores the figures of the heap's size classes in classes, by slot size, and no more than room of them.
 *
 * Returns how many classes the heap has: 0 without MEM_POLICY_GENERAL, and fewer than MEM_CLASSES in a small heap. -1 if
 * classes is NULL and room is not 0 (EINVAL). */
long mem_heap_class_stats(struct mem_heap *heap, struct mem_class_stats *classes, size_t room);

#ifdef __linux__
/* As Mem_Dump, for this heap. Returns 0. */
int mem_heap_dump(struct mem_heap *heap);
#endif

/* A slot or a block. A later version may add members at the end. */
struct mem_block {
    const void *address; /* its first byte: a slot's object, or a block's header, 16 bytes before the object */
    size_t size;         /* its bytes, the header included */
    int used;            /* 1 if it is allocated, 0 if it is free */
    int slot;            /* 1 for a slot, of the slab or of a size class; 0 for a block */
};

/* What mem_heap_walk calls: 0 for the next one, anything else to end the walk. */
typedef int (*mem_visit)(const struct mem_block *block, void *arg);

/* Calls callback with arg for every slot and every block of the heap, in the order of their addresses. No lock is held
 * meanwhile: the callback may use this heap, but for mem_heap_destroy, and what other threads do may or may not be shown.
 *
 * Returns 0 after the last one; what the callback returned if that was not 0. -1 if callback is NULL (EINVAL). */
int mem_heap_walk(struct mem_heap *heap, mem_visit callback, void *arg);

/* Ends a heap: gives back all that mem_heap_create mapped; a buffer is the caller's again. All its objects end with it,
 * and so does the handle. NULL is allowed and does nothing.
 *
 * Returns 0; -1 if heap is no handle (EINVAL). */
int mem_heap_destroy(struct mem_heap *heap);

#ifdef __cplusplus
}
#endif

#endif
