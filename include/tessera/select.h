/* select.h -- symbols chosen by names, shell patterns and files of names. Local: one rank chooses,
 * since files may be read. */
#ifndef TESSERA_SELECT_H
#define TESSERA_SELECT_H

#include "tessera/sets.h"

#include <stdint.h>

struct tess_error;
struct tess_strings;
struct tess_vocab;

/* What can be chosen from. All borrowed. */
/* Makes a symbol that the vocabulary does not have: its number, which is above all of them and has
 * its name in vocab->symbol, or -1. All zeroes: nobody does. */
struct tess_maker {
    void *closure;
    int64_t (*make)(void *closure, const char *symbol);
};

struct tess_choice {
    const struct tess_vocab *vocab;
    const uint8_t *trained; /* (vocab->n) or NULL: which may be chosen */
    const char *what; /* "readout" */
    const char *source; /* "run/best.h5" */
    int combinations; /* 1: "A+B" names a set of several symbols */
    struct tess_maker maker;
    const char *remedy; /* ends the sentence about unknown ones; NULL: none */
};
/* The members of "A+B" with what the maker can make of it, where the vocabulary alone does not know
 * them: how many, ascending; 0: it cannot. member: room for as many as the text has pluses, plus
 * one. */
int tess_select_make(const struct tess_maker *maker, const struct tess_vocab *vocab,
                     const char *text, int combinations, int64_t *member);

/* Adds to `sets` what `given` names, sorted; everything that was trained if it is empty. An item
 * is, in this order: a symbol; a shell pattern; a combination; a file of symbols and combinations,
 * one a line (`@FILE`, or a name that is none of the others). TESS_EDATA with the list of those
 * unknown and the nearest known, of those without training data, or the pattern that fits nothing.
 */
int tess_select(const struct tess_choice *choice, const struct tess_strings *given,
                struct tess_sets *sets, struct tess_error *error);

/* The same of names alone, no patterns and no files: symbols and combinations. place (names->n):
 * which of the sorted sets each one is; `sets` must be empty before. */
int tess_select_names(const struct tess_choice *choice, const struct tess_strings *names,
                      struct tess_sets *sets, int64_t *place, struct tess_error *error);

/* The same of a file of pairs, one a line with a tab or '+' between the two. TESS_EDATA for what is
 * no pair. */
int tess_select_pairs(const struct tess_choice *choice, const char *path, struct tess_sets *sets,
                      struct tess_error *error);

#endif
