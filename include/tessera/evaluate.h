/* evaluate.h -- held-out experiments scored: the model, every baseline, and the noise ceiling.
 *
 * Experiments are distributed over ranks; each one's scores are a pure function of the store, the
 * model and the options, and rank 0 sums them in their own order: results are the same bits on any
 * number of ranks. Definitions and the JSON form: docs/formats.md, "Scores". */
#ifndef TESSERA_EVALUATE_H
#define TESSERA_EVALUATE_H

#include "tessera/baselines.h"
#include "tessera/blend.h"
#include "tessera/bootstrap.h"
#include "tessera/calibration.h"
#include "tessera/ceiling.h"
#include "tessera/features.h"
#include "tessera/mapping.h"
#include "tessera/store.h"
#include "tessera/text.h"

#include <mpi.h>

struct tess_error;
struct tess_model;

struct tess_evaluate_options {
    int split; /* enum tess_split */
    int64_t n_resamples, n_halvings;
    uint64_t seed;
    const char *predictions; /* a file that is scored in the model's place, or NULL; borrowed */
    struct tess_strings control; /* further names of the control in that file; own of the caller */
    enum tess_blend_choice blend; /* is the model blended with a baseline? */
    double memory; /* bytes that a rank may have; 0: as much as suits */
    int epistasis; /* how well deviations from additivity are predicted, too */
    int strata; /* scores by stratum, too */
    int keep_values; /* the spread has values of a single model, too, and what was measured */
};

enum { TESS_METHODS = 1 + TESS_BASELINES }; /* the model, if there is one, stands first */

struct tess_group { /* all experiments, or a context's; rank 0 */
    int64_t context; /* -1: all */
    int64_t n, n_observations;
    int64_t n_unscored; /* held-out experiments that are not scored */
    int64_t fallbacks[TESS_METHODS]; /* experiments on which a baseline had nothing to go by */
    struct tess_outcome outcome; /* own */
    struct tess_ceiling ceiling;
    int n_above; /* metrics in which the model is better than the ceiling, on its experiments */
    uint8_t above[TESS_DISCRIMINATION]; /* which */
};

/* Experiments by the number of contexts in which their perturbation is trained, and by the size of
 * their measured change, in thirds. */
enum tess_stratum {
    TESS_KNOWN_0,
    TESS_KNOWN_1,
    TESS_KNOWN_2_TO_4,
    TESS_KNOWN_5,
    TESS_WEAK,
    TESS_MIDDLE,
    TESS_STRONG,
    TESS_STRATA
};

/* A measured value and what was said of it. */
struct tess_scored_value {
    double measured, error; /* error: measured less predicted */
    int64_t context, readout; /* numbers of the store */
};

/* How good the deviation of an ensemble's members is. Rank 0. */
struct tess_spread {
    int64_t n_experiments, n; /* values of these experiments */
    double *error, *deviation; /* (n) NULL: there is no ensemble; own */
    struct tess_scored_value *value; /* (n) NULL unless options.keep_values; own */
    const char *uncalibrated; /* why there is no calibration; NULL: there is one */
    struct tess_calibration calibration;
    double rank_correlation;
    struct tess_coverage raw, calibrated;
};

/* How well it is predicted by how much combinations deviate from the sum of their components'
 * changes: of scored combinations whose components are measured alone in the same context. Methods
 * are those of the evaluation (additive_components says 0 of each), and then mean_components, the
 * mean of the components' changes. Rank 0. */
struct tess_epistasis {
    int n_methods;
    int64_t n_experiments, n_contexts, n_values;
    struct tess_outcome outcome; /* metrics of the deviation, as of a change against 0; own */
    /* (n_methods, TESS_CUTS) shares of the values that are amplified (weakened) most which are
     * among those predicted so; NaN: fewer such values, or the predictions have no order. Own. */
    double *synergy, *antagonism;
};

/* A context by the model and by one that was trained on it alone; neither is blended. Where the
 * second knows nothing, the mean of the context's training perturbations takes its place. */
struct tess_pair {
    int64_t context, n; /* n: scored experiments */
    int64_t n_by_mean; /* perturbations of so many of them the second does not know */
    int64_t n_train; /* training experiments of the context but control */
    const char *no_pair; /* why there is no second model; NULL: there is one */
    struct tess_outcome outcome; /* of the two, difference[TESS_METRICS + …]; rank 0; own */
};

struct tess_evaluation {
    const struct tess_store *store; /* borrowed */
    const struct tess_model *model; /* borrowed, or NULL */
    struct tess_evaluate_options options;
    MPI_Comm comm; /* borrowed */
    int n_threads; /* OMP_NUM_THREADS, or all cores of a single rank */
    int64_t chunk; /* experiments that a rank scores at once, at most */
    struct tess_profiles profiles;
    struct tess_baselines baselines;
    struct tess_blender blender; /* if there is a model */

    int64_t n; /* scored experiments */
    int64_t *unit; /* (n) of the profiles, ascending; own */
    int has_model; /* is there something to score beside the baselines? */
    char *no_model; /* or why not; own */
    char *model_source; /* where it is from; own */
    /* The store's numbers in the model, of what that was trained on; own. */
    struct tess_mapping perturbation, readout, context;
    int64_t *first; /* (units + 1) into predicted: only held-out units have room; own */
    float *predicted; /* of a predictions file, by unit and readout of its context; own */

    int64_t n_held_out; /* experiments of the split with any value */
    int64_t n_left_out; /* measured values that the model says nothing about */
    int64_t n_unused; /* predicted values that nothing is held out for */
    int64_t n_averaged; /* experiments that several rows of the file predict … */
    int64_t n_averaged_rows; /* … and those rows */
    struct tess_strings unscored; /* "A+B in c": what the model says nothing about; own */
    int64_t *n_unscored; /* (contexts) how many those are; own */

    int64_t n_pairs; /* that were asked for (tess_evaluate_pair) */
    struct tess_pair *pair; /* (n_pairs) own */
    struct tess_epistasis epistasis; /* all zeroes without options.epistasis */
    struct tess_spread spread; /* without `deviation`: there is no ensemble; own */

    struct tess_features features; /* of the store's components, by the model; own */
    int n_methods; /* has_model + TESS_BASELINES */
    int64_t n_groups;
    struct tess_group *group; /* (n_groups) all first, then contexts; rank 0; own */
    int8_t *known,
        *strength; /* (n) enum tess_stratum, -1: none; NULL without options.strata; own */
    double *change; /* (n) root mean square of the measured change, NaN: none; the same */
    struct tess_group *stratum; /* (TESS_STRATA) the same, rank 0; own */
};

/* TESS_EUSAGE if the memory is too small. model: NULL to score the baselines (or
 * options->predictions) alone. Its readouts, contexts and perturbations are found by name.
 * Collective over comm. */
int tess_evaluate_run(struct tess_evaluation *evaluation, const struct tess_store *store,
                      struct tess_model *model, const struct tess_evaluate_options *options,
                      MPI_Comm comm, struct tess_error *error);
void tess_evaluate_release(struct tess_evaluation *evaluation);
/* Fills in a pair (context, n_train, no_pair are set) of an evaluation with a model. alone: NULL if
 * there is none. Collective over the evaluation's comm. */
int tess_evaluate_pair(const struct tess_evaluation *evaluation, struct tess_model *alone,
                       struct tess_pair *pair, struct tess_error *error);
/* What its difference of RMSE says the others did: "helped", "hurt" or "no difference"; NULL: there
 * are too few perturbations, or no pair. Of rank 0. */
const char *tess_evaluate_verdict(const struct tess_pair *pair);

/* deviation.json (deviation.h) of a run whose training is over: fitted to its members' predictions
 * of the validation values, as with --blend auto and off, unless it is there already. None is made
 * of fewer than two members, or without validation values; nothing fails for it: rank 0 warns.
 * TESS_EINTERRUPTED if a rank was asked to stop before it began. Collective over comm. */
int tess_evaluate_calibrate(const char *directory, MPI_Comm comm, struct tess_error *stopped);

/* What the model predicts for the scored experiments [begin, end) of one context: (end - begin,
 * readouts of the context), NaN where it cannot; deviation: of its members, the same, or NULL.
 * Local. */
int tess_evaluate_predict(const struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                          double *out, double *deviation, struct tess_error *error);
/* Why a baseline that never had anything of its own to say has no scores; NULL: it has. Rank 0. */
const char *tess_evaluate_excuse(const struct tess_evaluation *evaluation,
                                 const struct tess_group *group, int baseline);
extern const char *const tess_evaluate_above; /* what it means to be above the ceiling */
/* What a stratum is cut by ("known_in" or "strength"), and its name in that. Local. */
const char *tess_evaluate_stratum_kind(int stratum);
const char *tess_evaluate_stratum_name(int stratum);
/* A method's name in evaluation->epistasis. Rank 0. */
const char *tess_evaluate_epistasis_method(const struct tess_evaluation *evaluation, int method);
/* Has that method anything of its own to say of them? Local, on rank 0. */
int tess_evaluate_epistasis_says(const struct tess_evaluation *evaluation, int method);

#endif
