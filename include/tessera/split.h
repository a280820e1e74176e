/* split.h -- which experiments are trained on: rules, tables, and whether anything leaks. Local.
 *
 * What is assigned are pairs of a perturbation (or combination) and a context; experiments of the
 * same pair go together. Control is always trained on. A rule draws from the seed and the pairs of
 * the store in order of their names alone: not from the number of ranks, nor from the order of the
 * files that were imported. Each target context has a stream of its own. */
#ifndef TESSERA_SPLIT_H
#define TESSERA_SPLIT_H

#include "tessera/store.h"
#include "tessera/text.h"

#include <stdio.h>

struct tess_error;

enum tess_split_rule {
    TESS_SPLIT_TARGET, /* perturbations of the target contexts that others measure, too */
    TESS_SPLIT_RANDOM, /* (perturbation, context) pairs */
    TESS_SPLIT_CONTEXTS /* whole contexts */
};

struct tess_split_options {
    int rule; /* enum tess_split_rule */
    struct tess_strings target; /* TARGET: contexts, or patterns */
    struct tess_strings val_names, test_names; /* CONTEXTS: these, instead of random ones */
    double val, test; /* shares */
    int64_t seed;
    int64_t keep; /* RANDOM: a perturbation keeps at least so many contexts in training */
};

/* split (n_experiments), and how it was made, in words (TESS_SPLIT_METHOD bytes). TESS_EDATA if a
 * context is unknown or there is nothing to hold out; TESS_EUSAGE if one is named for both. */
int tess_split_draw(const struct tess_index *index, const struct tess_split_options *options,
                    int8_t *split, char *method, struct tess_error *error);
/* Of what a split trains on, a share stays and the rest is unused: of contexts and of perturbations
 * (or combinations), each 0 to 1. Those with a held-out experiment all stay, and so does control;
 * a context that goes takes its control along. Drawn from the seed and names: a larger share holds
 * the smaller ones. Words are added to `method`. */
struct tess_split_share {
    double contexts, perturbations;
    int64_t seed;
};
void tess_split_thin(const struct tess_index *index, const struct tess_split_share *share,
                     int8_t *split, char *method);
/* From a table with the columns perturbation, context and split; pairs it does not list are trained
 * on. TESS_EDATA naming the line. */
int tess_split_read(const struct tess_index *index, const char *path, int8_t *split, char *method,
                    struct tess_error *error);
/* Every pair of the store in that form. TESS_EDATA if the table could not tell two perturbations
 * apart, since their symbols hold pluses. */
int tess_split_write(const struct tess_index *index, const int8_t *split, const char *path,
                     struct tess_error *error);

/* Counts of each split, then the leakage. */
void tess_split_print(const struct tess_index *index, const int8_t *split, FILE *out);

#endif
