/* mapping.h -- the numbers of one list of symbols in another, found by name once: a store's in a
 * model, a file's in a store. Local. */
#ifndef TESSERA_MAPPING_H
#define TESSERA_MAPPING_H

#include <stdint.h>

struct tess_sets;
struct tess_vocab;

struct tess_mapping {
    int64_t n;
    int64_t *to; /* (n) the number of symbol i (or set i) over there, -1: there is none; own */
};

/* From one vocabulary into another. Both are sorted: what is known keeps its order. trained
 * (to->n), may be NULL: what is not marked counts as unknown. O(from->n + to->n). */
void tess_mapping_init(struct tess_mapping *mapping, const struct tess_vocab *from,
                       const struct tess_vocab *to, const uint8_t *trained);
/* From n names in any order, repeats allowed. */
void tess_mapping_init_names(struct tess_mapping *mapping, int64_t n, const char *const *name,
                             const struct tess_vocab *to);
/* From the sets of one side to those of the other (sorted or collected), by their members. */
void tess_mapping_init_sets(struct tess_mapping *mapping, const struct tess_sets *from,
                            const struct tess_mapping *member, const struct tess_sets *to);
void tess_mapping_release(struct tess_mapping *mapping);

/* The number over there of a symbol, -1: there is none, or it was made since (model.h). Local. */
static inline int64_t tess_mapping_at(const struct tess_mapping *mapping, int64_t number)
{
    return number < mapping->n ? mapping->to[number] : -1;
}

/* The set (at most n) of what n numbers are over there; how many that is, or -1 if one of them is
 * unknown. */
int64_t tess_mapping_translate(const struct tess_mapping *mapping, int64_t n, const int64_t *number,
                               int64_t *out);
/* Adds that set to `sets`: 1, or 0 and adds nothing if one of the numbers is unknown. */
int tess_mapping_add_set(const struct tess_mapping *mapping, int64_t n, const int64_t *number,
                         struct tess_sets *sets);

#endif
