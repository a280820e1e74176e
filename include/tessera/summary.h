/* summary.h -- what a store holds, counted and printed. Local. */
#ifndef TESSERA_SUMMARY_H
#define TESSERA_SUMMARY_H

#include "tessera/store.h"
#include "tessera/text.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

struct tess_summary {
    int64_t n_components, n_combinations, n_multiple; /* multiple: of more than one component */
    int64_t n_readouts, n_contexts, n_panels, n_experiments, n_folds;
    int64_t n_replicates, n_replicated; /* rows averaged; experiments of several of them */
    int64_t n_observations, n_missing;
    int has_weights;
    double weight[2]; /* the least and the largest of an experiment */
    int64_t n_split[4]; /* experiments of each */
    int64_t n_one_context; /* perturbations (not control) seen in one only */
    /* experiments whose perturbation, context and split another one has, too */
    int64_t n_duplicates;
    struct tess_strings one_context; /* names of the first ones */
    struct tess_strings no_control; /* contexts without control */
};
void tess_summary_init(struct tess_summary *summary, const struct tess_index *index);
void tess_summary_release(struct tess_summary *summary);
/* "perturbations 146 (…)" and so on, a line each. */
void tess_summary_print(const struct tess_summary *summary, FILE *out);
json_t *tess_summary_json(const struct tess_summary *summary);

#endif
