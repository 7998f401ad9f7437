/* mem.h - libmem: one heap of a fixed size for the whole process.
 *
 * The first quarter of the heap is the slab segment: slots of slab_size bytes, side by side. The rest is the next-fit
 * segment: blocks, each with a header in front. All functions may be called from any thread, and from a signal handler:
 * there, where the thread was interrupted inside the heap, they fail at once.
 *
 * Compile: cc program.c -I include -L lib -Wl,-rpath,lib -lmem
 */
#ifndef SLABFIT_MEM_H
#define SLABFIT_MEM_H

#ifdef __cplusplus
extern "C" {
#endif

/* What stands in the magic field of every allocated block's header. */
#define MAGIC 0x5077604

/* The headers in the heap. Read them as you like; the library does not follow them. Both are 16 bytes with their second
 * field at byte 8 on every target, so where pointers are shorter than on 64-bit Linux there is padding. length saturates
 * at INT_MAX. */
#if defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ == 4
#define SLABFIT_PAD(name) int name;
#else
#define SLABFIT_PAD(name)
#endif

/* Begins every free block, and every free slot that was used before. */
struct FreeHeader {
    int length;              /* bytes behind the header of a free block; all bytes of a free slot */
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

/* Maps a heap of size bytes, rounded up to whole pages and all of it usable, with slots for objects of slab_size bytes.
 * To be called once.
 *
 * Returns the heap's first byte. NULL if size or slab_size is not above 0, if the system has no memory, or if there is a
 * heap already; a failed call changes nothing, and where there was no heap it may be repeated. */
void *Mem_Init(int size, int slab_size);

/* Allocates size bytes, aligned to 16. Exactly slab_size bytes come from the slab segment, or from the next-fit segment
 * once that is full, and are zero-filled; every other size comes from the next-fit segment.
 *
 * Returns NULL before Mem_Init, if size is not above 0, or if there is no room. */
void *Mem_Alloc(int size);

/* Frees what Mem_Alloc returned. NULL is allowed and does nothing.
 *
 * Returns 0; -1 if ptr is not the start of a live object. Then nothing has changed, and one line on standard error says
 * what is wrong with ptr:
 *     SEGFAULT: Mem_Free(0x7f0123456789): outside the heap
 *     Mem_Free(0x7f0123456780): already free
 * The other faults are "misaligned", "not the start of a block", "never allocated", "header overwritten" (the block's
 * header is not what the library wrote; it stays live) and "called while this thread holds the lock" (from a signal
 * handler). An address that was handed out again since is the start of a live object: freeing it frees that. */
int Mem_Free(void *ptr);

/* Prints both segments to standard output, the file descriptor: what stands in stdio's buffer comes after it unless it
 * is flushed (fflush(stdout)) before. */
void Mem_Dump(void);

#ifdef __cplusplus
}
#endif

#endif
