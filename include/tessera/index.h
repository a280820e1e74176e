/* index.h -- the index of a store: everything but the values, the same on every rank. */
#ifndef TESSERA_INDEX_H
#define TESSERA_INDEX_H

#include "tessera/sets.h"
#include "tessera/split_name.h"
#include "tessera/target.h"
#include "tessera/vocab.h"

#include <stdint.h>

struct tess_error;
struct tess_strings;

struct tess_index { /* all arrays own */
    struct tess_vocab perturbation; /* components, control among them */
    struct tess_vocab readout, context;
    int64_t n_combinations; /* distinct sets of components that experiments use */
    int64_t *combination_first; /* (n_combinations + 1) into combination_member */
    /* perturbation numbers, ascending within a combination; combinations are in lexicographic order
     * of their members */
    int64_t *combination_member;
    int64_t n_panels;
    int64_t *panel_first; /* (n_panels + 1) into panel_readout */
    /* readout numbers, ascending within a panel; panels are in lexicographic order */
    int64_t *panel_readout;
    int64_t n_experiments;
    int64_t *combination; /* (n_experiments) */
    int64_t *context_of; /* (n_experiments) */
    int64_t *panel; /* (n_experiments) */
    int8_t *split; /* (n_experiments) enum tess_split */
    int64_t *n_replicates; /* (n_experiments) rows averaged into it, at least 1 */
    int64_t *n_observed; /* (n_experiments) values that are not NaN */
    double
        *weight; /* (n_experiments) sums of the rows' weights, finite, >= 0; NULL: rows had none */
    int64_t *value_first; /* (n_experiments + 1) into the values; follows from the panels */
    /* Folds: the means of disjoint parts of an experiment's replicates, over its panel; none
     * where there is a single replicate. With at most TESS_STORE_FOLDS replicates each is a fold.
     */
    int64_t *fold_first; /* (n_experiments + 1) fold numbers of an experiment */
    int64_t *fold_replicates; /* (n_folds) replicates in it */
    int64_t *fold_value_first; /* (n_folds + 1) into the fold values; follows */
    int64_t control; /* perturbation number of TESS_CONTROL, or -1 */
    uint64_t hash; /* of everything but the split; 0 until written */
    uint64_t split_hash;
};

/* Fills value_first, fold_value_first, control and split_hash from the rest. Local. */
void tess_index_finish(struct tess_index *index);
/* Numbers in range, orders as documented: TESS_EDATA with `path` and the place otherwise. Local. */
int tess_index_check(const struct tess_index *index, const char *path, struct tess_error *error);
void tess_index_release(struct tess_index *index);

/* "A+B" of a combination; own of the caller. Local. */
char *tess_index_combination_name(const struct tess_index *index, int64_t combination);
/* The combinations as sets, sorted; borrowed: not to be changed or released. Local. */
struct tess_sets tess_index_combinations(const struct tess_index *index);
/* The combination of exactly these members, ascending, or -1. Local. */
int64_t tess_index_find(const struct tess_index *index, int64_t n, const int64_t *member);
/* The combination that a text names, as tess_combination_parse reads it, or -1. The parts that are
 * unknown are added to `unknown` (may be NULL): none if only their combination is. Local. */
int64_t tess_index_find_text(const struct tess_index *index, const struct tess_strings *control,
                             const char *text, struct tess_strings *unknown);
/* Measured values of a split's experiments (enum tess_split), or of all (-1). Local. */
int64_t tess_index_observed(const struct tess_index *index, int split);
/* All experiments of other contexts become TESS_UNUSED, in memory alone; split_hash is that of such
 * a split. Local. */
void tess_index_keep_context(struct tess_index *index, int64_t context);
/* Is it the control (its only member)? Local. */
int tess_index_is_control(const struct tess_index *index, int64_t combination);

#endif
