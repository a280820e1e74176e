/* alloc.c -- aligned, zeroed memory. */
#include "tessera/alloc.h"

#include "tessera/error.h"

#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64
/* Large blocks ask for huge pages: rows of tables are met in random order, and a walk through the
 * page table would cost as much as the row. */
#define HUGE_PAGE ((size_t)1 << 21)
#define LARGE     (4 * HUGE_PAGE)
#define ITS_OWN   (2 * HUGE_PAGE) /* blocks from here on are not in the heap */

/* Left alone, glibc's limit rises to the largest block freed so far, up to 32 MiB: blocks that grow
 * by doubling then lie in the heap, and whether one fits where another was depends on how far the
 * heap begins from a huge page, which differs from start to start: two of 45 screens of pairs took
 * 40 % more than the others. */
void tess_alloc_begin(void)
{
#ifdef M_MMAP_THRESHOLD
    if (!getenv("MALLOC_MMAP_THRESHOLD_"))
        mallopt(M_MMAP_THRESHOLD, (int)ITS_OWN);
    /* as glibc itself would: what is often taken and given back stays */
    if (!getenv("MALLOC_TRIM_THRESHOLD_"))
        mallopt(M_TRIM_THRESHOLD, (int)(2 * ITS_OWN));
#endif
}

static void *allocate(size_t n, size_t size)
{
    size_t bytes, alignment;
    void *block;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 2 * HUGE_PAGE)
        return NULL;
    alignment = bytes >= LARGE ? HUGE_PAGE : ALIGNMENT;
    /* Never 0: a block of no elements has an address of its own. */
    bytes = (bytes / ALIGNMENT + 1) * ALIGNMENT;
    if (posix_memalign(&block, alignment, bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    /* before memset: the kernel chooses the size of a page when it is first touched */
    if (alignment == HUGE_PAGE)
        madvise(block, bytes, MADV_HUGEPAGE); /* a hint: it may be refused */
#endif
    memset(block, 0, bytes);
    return block;
}

void *tess_alloc(size_t n, size_t size)
{
    void *block = allocate(n, size);

    if (!block) {
        fprintf(stderr, "tessera: out of memory: %zu x %zu bytes\n", n, size);
        if (tess_bug_hook)
            tess_bug_hook(TESS_EOS);
        exit(TESS_EOS);
    }
    return block;
}

/* More than the machine has would be promised, and end the process when it is used. */
static double machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

    return pages > 0 && bytes > 0 ? (double)pages * (double)bytes : (double)SIZE_MAX;
}

void *tess_alloc_large(size_t n, size_t size, const char *what, struct tess_error *error)
{
    int fails = tess_fail_here(error, what) || (double)n * (double)size > machine_bytes();
    void *block = fails ? NULL : allocate(n, size);

    if (!block)
        tess_error_set(error, TESS_EOS,
                       "not enough memory for %s (%.3g GB): use more ranks or nodes", what,
                       (double)n * (double)size / 1e9);
    return block;
}

/* Not realloc(3), which keeps no alignment beyond that of malloc. */
void *tess_realloc(void *block, size_t old_n, size_t n, size_t size)
{
    void *fresh = tess_alloc(n, size);

    if (block)
        memcpy(fresh, block, (old_n < n ? old_n : n) * size);
    tess_free(block);
    return fresh;
}

void tess_free(void *block)
{
    free(block);
}

char *tess_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;

    return memcpy(tess_alloc(bytes, 1), text, bytes);
}

char *tess_format(const char *format, ...)
{
    va_list arguments;
    char *text;
    int n;

    va_start(arguments, format);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    TESS_BUG_IF(n < 0);
    text = tess_alloc((size_t)n + 1, 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)n + 1, format, arguments);
    va_end(arguments);
    return text;
}

void *tess_grow(void *block, size_t *room, size_t need, size_t size)
{
    size_t old = *room;

    if (need <= old)
        return block;
    /* At least doubled: elements that are added one by one are copied O(1) times each. */
    *room = need > 2 * old ? need + 15 : 2 * old;
    return tess_realloc(block, old, *room, size);
}

int tess_int(int64_t x)
{
    TESS_BUG_IF(x < INT_MIN || x > INT_MAX);
    return (int)x;
}
