/* pairs.h -- pairs of perturbations that are known to belong together, and at which rank likeness
 * finds them. Local to the folder. */
#ifndef PAIRS_H
#define PAIRS_H

#include "likeness.h"

struct tess_pairs {
    int64_t n; /* pairs that can be scored */
    int64_t n_unknown, n_untrained, n_left_out; /* of the file's: why the others cannot */
    int64_t n_no_tab; /* lines that are no pair */
    char *no_tab; /* the first of them; NULL: none; rank 0; own */
    int64_t *query, *target; /* (n) places in the lists below; own */
    int64_t n_queries, n_targets;
    int64_t *queries, *targets; /* perturbations, ascending, each once; own */
};

/* Lines of perturbation<tab>target; a heading of these words, empty lines, further columns and
 * repeats do not count. Targets are held against `candidate`, and of a perturbation with itself
 * there is no pair. TESS_EDATA if no pair is left. Collective over comm; rank 0 reads. */
int tess_pairs_read(struct tess_pairs *pairs, const char *path, const struct tess_kinds *kinds,
                    const uint8_t *candidate, MPI_Comm comm, struct tess_error *error);
/* What is to be said of lines without a tab, "" if there are none; own of the caller. */
char *tess_pairs_no_tab(const struct tess_pairs *pairs);
void tess_pairs_release(struct tess_pairs *pairs);

/* At which rank each query finds each target among the candidates but itself, from 1 on, ties
 * averaged: rank (queries, targets) on every rank, NaN of itself and of what is no candidate.
 * Collective. */
int tess_pairs_rank(const struct tess_pairs *pairs, const struct tess_likeness *likeness,
                    double *rank, struct tess_error *error);

/* What is said of all pairs together. */
enum tess_pairs_score {
    TESS_RECALL_1,
    TESS_RECALL_5,
    TESS_RECALL_10,
    TESS_RECALL_1_PERCENT,
    TESS_RECALL_5_PERCENT,
    TESS_RECIPROCAL_RANK,
    TESS_PERCENTILE, /* (rank - 1) / (candidates - 1): 0 is best, 0.5 chance */
    TESS_PAIRS_SCORES
};
extern const char *const tess_pairs_names[TESS_PAIRS_SCORES];

struct tess_pairs_outcome {
    double value[TESS_PAIRS_SCORES], low[TESS_PAIRS_SCORES], high[TESS_PAIRS_SCORES];
};
/* Ranks, and with how many candidates beside each query; borrowed. */
struct tess_pairs_ranks {
    const double *rank; /* (queries, targets) */
    const int64_t *others; /* (queries) */
};
/* Ours less theirs, over the pairs that have both ranks, with 95 % intervals: each resample takes
 * the same queries for both. Local. */
void tess_pairs_compare(const struct tess_pairs *pairs, const struct tess_pairs_ranks *ours,
                        const struct tess_pairs_ranks *theirs, int64_t resamples,
                        struct tess_pairs_outcome *out);
/* others (queries): candidates beside each query. Means over the pairs that have a rank, with 95 %
 * intervals of resampled queries (all pairs of one stay together); NaN if there are none. Local. */
void tess_pairs_score(const struct tess_pairs *pairs, const double *rank, const int64_t *others,
                      int64_t resamples, struct tess_pairs_outcome *out);
/* The same of targets that are permuted among the pairs: mean, and the interval that 99 % lie in;
 * NaN if each permutation makes pairs of a perturbation and itself alone. Local. */
void tess_pairs_permute(const struct tess_pairs *pairs, const double *rank, const int64_t *others,
                        int64_t permutations, struct tess_pairs_outcome *out);

#endif
