/* intern.h -- symbols to numbers while they are being collected, in order of first appearance.
 * (The finished, sorted form is vocab.h.) Local. */
#ifndef TESSERA_INTERN_H
#define TESSERA_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct tess_intern_entry;

struct tess_intern {
    struct tess_intern_entry *entry; /* hash table (uthash); own */
    int64_t n;
    size_t room;
    const char **text; /* (n) by number; point into the entries */
};

/* The number of a symbol of `length` bytes (need not end in NUL); a new one gets number n. */
int64_t tess_intern_add(struct tess_intern *intern, const char *text, size_t length);
/* Its number, or -1. */
int64_t tess_intern_find(const struct tess_intern *intern, const char *text, size_t length);
void tess_intern_release(struct tess_intern *intern); /* all zeroes is an empty one */

#endif
