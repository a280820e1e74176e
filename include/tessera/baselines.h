/* baselines.h -- the simple predictors that a model has to beat; definitions in docs/formats.md,
 * "Scores". All learn from training units alone, control left out, replicates averaged first. */
#ifndef TESSERA_BASELINES_H
#define TESSERA_BASELINES_H

#include "tessera/profiles.h"

#include <mpi.h>
#include <stdint.h>

#define TESS_LINEAR_FACTORS 10 /* principal axes of changes that `linear` and `features` know */

enum tess_baseline {
    TESS_GLOBAL_MEAN,
    TESS_READOUT_MEAN,
    TESS_NO_PERTURBATION,
    TESS_ADDITIVE,
    TESS_NEAREST_CONTEXT,
    TESS_LINEAR,
    TESS_ADDITIVE_COMPONENTS,
    TESS_FEATURES,
    TESS_NEAREST_FEATURES,
    TESS_INTERPOLATED, /* of stores with doses */
    TESS_ADDITIVE_PARTS, /* of stores whose contexts have parts */
    TESS_INTERACTING_COMPONENTS, /* of stores whose combinations teach one something */
    TESS_BASELINES
};
/* Its name in tables and JSON; of the program. Local. */
const char *tess_baseline_name(int baseline);
/* Why it cannot say anything, if it fell back on every experiment: a sentence; NULL: then what it
 * falls back to is its natural answer and stands. Local. */
const char *tess_baseline_excuse(int baseline);

struct tess_linear;
struct tess_similar;
struct tess_changes;
struct tess_by_features;
struct tess_features;
struct tess_doses;
struct tess_context_sums;
struct tess_interactions;

struct tess_baselines {
    struct tess_profiles *profiles; /* borrowed */
    double **mean; /* (n_contexts) each (readouts of the context), NaN: none; own */
    double **control; /* the same; NULL where a context has no control */
    double *overall; /* (readouts) mean over the contexts' means; own */
    double global_mean; /* of all values of training units but control; NaN: none */
    struct tess_changes *changes; /* over the contexts; own */
    struct tess_similar *similar; /* or NULL; own */
    struct tess_linear *linear; /* own */
    struct tess_by_features *by_features; /* or NULL; own */
    struct tess_doses *doses; /* or NULL: no perturbation has one; own */
    struct tess_context_sums *parts; /* or NULL: contexts have no parts in common; own */
    struct tess_interactions *interactions; /* or NULL: there is nothing to learn; own */
};

/* Has the store anything that this one goes by? Those that have not say what `additive` says.
 * Local.
 */
int tess_baselines_have(const struct tess_baselines *baselines, int baseline);

struct tess_baselines_options {
    /* (n_contexts) where `nearest_context` will be asked for; NULL: nowhere. Borrowed. */
    const uint8_t *nearest_in;
    /* Of the store's components, to outlive the baselines; NULL, or k = 0: there are none. */
    const struct tess_features *features;
    /* Has somebody asked to stop? Then init returns TESS_EINTERRUPTED. NULL: nobody does. */
    int (*stopped)(void);
};

/* What all baselines learn from the training units, shared out to the ranks by units. Collective
 * over comm. */
int tess_baselines_init(struct tess_baselines *baselines, struct tess_profiles *profiles,
                        const struct tess_baselines_options *options, MPI_Comm comm,
                        struct tess_error *error);
/* Bytes that learning takes, and what is learned, besides values that the profiles keep. Local. */
double tess_baselines_bytes(const struct tess_profiles *profiles);
/* Bytes that may be kept yet while `additive` is asked for: values that no rank but another has
 * read, and sums of a perturbation's changes. Local. */
double tess_baselines_growth(const struct tess_baselines *baselines);
void tess_baselines_release(struct tess_baselines *baselines);

/* What is asked for: perturbations in one context of the store, measured or not. Borrowed. */
struct tess_query {
    int64_t context, n;
    const int64_t *combination; /* (n) of the store; -1: the store has no such perturbation */
    int64_t n_readouts;
    const int64_t *readout; /* (n_readouts) of the store, ascending */
    const char *const *symbol; /* (n) the name of one that the store lacks, or NULL; or NULL */
    /* Of what components of the store each is made, member[first[k] .. first[k + 1]), for those
     * that the store does not have: none where one of them is unknown. NULL: nobody asks. */
    const int64_t *first, *member;
};
/* What the baselines say: out[baseline] (n, n_readouts), finite if there is any training data,
 * NULL: this one is not wanted (`additive` comes with those that fall back to it,
 * `additive_components` with `interacting_components`); fallback (n,
 * TESS_BASELINES). Local; not by several threads at once. */
int tess_baselines_predict(struct tess_baselines *baselines, const struct tess_query *query,
                           double *const out[TESS_BASELINES], uint8_t *fallback,
                           struct tess_error *error);

#endif
