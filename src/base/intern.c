/* intern.c -- a hash table of symbols (uthash). */
#include "tessera/intern.h"

#include "tessera/alloc.h"

#include <string.h>
#include <uthash.h>
#include <xxhash.h>

/* uthash with the hash function we already depend on. */
#undef HASH_FUNCTION
#define HASH_FUNCTION(key, length, value) ((value) = (unsigned)XXH3_64bits(key, length))

struct tess_intern_entry {
    UT_hash_handle hh;
    int64_t number;
    char text[];
};

int64_t tess_intern_find(const struct tess_intern *intern, const char *text, size_t length)
{
    struct tess_intern_entry *found = NULL;

    HASH_FIND(hh, intern->entry, text, length, found);
    return found ? found->number : -1;
}

/* A key is any bytes (also of numbers): uthash compares its length and then memcmp. The block is
 * zeroed, so that a NUL stands behind the text. */
int64_t tess_intern_add(struct tess_intern *intern, const char *text, size_t length)
{
    int64_t number = tess_intern_find(intern, text, length);
    struct tess_intern_entry *entry;

    if (number >= 0)
        return number;
    entry = tess_alloc(1, sizeof *entry + length + 1);
    memcpy(entry->text, text, length);
    entry->number = intern->n;
    intern->text =
        tess_grow(intern->text, &intern->room, (size_t)intern->n + 1, sizeof intern->text[0]);
    intern->text[intern->n++] = entry->text;
    HASH_ADD_KEYPTR(hh, intern->entry, entry->text, length, entry);
    return entry->number;
}

void tess_intern_release(struct tess_intern *intern)
{
    struct tess_intern_entry *entry, *next;

    HASH_ITER(hh, intern->entry, entry, next)
    {
        HASH_DEL(intern->entry, entry);
        tess_free(entry);
    }
    tess_free(intern->text);
    *intern = (struct tess_intern){0};
}
