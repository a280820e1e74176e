/* evaluate.h -- the parts of an evaluation, for its files. */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "tessera/evaluate.h"

#define TESS_EVALUATE_CHUNK 256 /* experiments scored at once, at most */

/* Who is scored on what: profiles, chosen experiments, the model's blend and, if it needs
 * them or `always`, the baselines. evaluation->comm is set before. Collective over it. */
int tess_evaluate_begin(struct tess_evaluation *evaluation, const struct tess_store *store,
                        struct tess_model *model, const struct tess_evaluate_options *options,
                        int always, struct tess_error *error);
/* What a rank needs, said; and shared out, if options.memory bounds it, to the model, the profiles
 * and the chunks. Before values are read. TESS_EUSAGE if that is too little. Collective. */
int tess_evaluate_plan(struct tess_evaluation *evaluation, struct tess_model *model,
                       struct tess_error *error);
/* Errors and deviations of an ensemble into evaluation->spread on rank 0, in the order of the
 * experiments: of all of them, or of some if there are more than a million values. Collective. */
int tess_evaluate_spread(struct tess_evaluation *evaluation, struct tess_error *error);
/* The spread's scores, with the calibration of the run if it has one. Collective. */
void tess_evaluate_score_spread(struct tess_evaluation *evaluation);
/* NaN in place of the measured values of a held-out unit that the model says nothing about; returns
 * how many those are. Local. */
int64_t tess_evaluate_mask(const struct tess_evaluation *evaluation, int64_t unit, float *measured);
/* Of how many of its context's readouts the model says something. Local. */
int64_t tess_evaluate_spoken(const struct tess_evaluation *evaluation, int64_t unit);
/* Which experiments are scored: fills unit, has_model and what is counted. Collective. */
int tess_evaluate_choose(struct tess_evaluation *evaluation, struct tess_error *error);
/* Which of n units does the model know? keep[i]. Local. */
void tess_evaluate_known(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                         uint8_t *keep);
/* The predictions file, for the n units given, into evaluation->first and ->predicted: the mean of
 * several rows of a unit; keep[i]: has any. Collective. */
int tess_evaluate_read(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                       uint8_t *keep, struct tess_error *error);
/* What every method predicts for experiments [begin, end) of one context. Local. */
struct tess_evaluate_batch {
    int64_t begin, end;
    double *value[TESS_METHODS]; /* (end - begin, width) by method; own */
    uint8_t *fallback; /* (end - begin, TESS_BASELINES); own */
};
int tess_evaluate_batch_init(struct tess_evaluate_batch *batch, struct tess_evaluation *evaluation,
                             int64_t begin, int64_t end, struct tess_error *error);
void tess_evaluate_batch_release(struct tess_evaluate_batch *batch);
/* Experiments [begin, end) of one context, scored at once. All own. */
struct tess_evaluate_chunk {
    int64_t begin, end, n_half; /* n_half: of half */
    struct tess_scores *score; /* (end - begin, n_methods) */
    struct tess_scores *half; /* (those that have folds, n_halvings) */
    double *noise; /* (end - begin, readouts) variances of the values, NaN: not known */
};
/* The measured values of all scored experiments of a context, among which a prediction must find
 * its own. All zeroes is none. */
struct tess_held_out {
    int64_t context, begin, end, width; /* experiments begin … end - 1 of the evaluation */
    float *value; /* (end - begin, width) NaN where nothing is said; own */
    int64_t *left_out; /* (end - begin) measured values that nothing is said about; own */
    uint8_t *target; /* (end - begin, width) of the experiment's perturbation; own */
    uint8_t *targets; /* (width) of any of them; own */
    double *control_noise; /* (width) variances of the control's values; NULL: not known; own */
};
void tess_held_out_release(struct tess_held_out *held_out);
/* The chunk's scores; what tess_evaluate_halve found is there. held_out: of the last call. Local.
 */
int tess_evaluate_score(struct tess_evaluation *evaluation, struct tess_held_out *held_out,
                        struct tess_evaluate_chunk *chunk, struct tess_error *error);
/* Has experiment i several folds, that is, a noise ceiling? Local. */
int tess_evaluate_has_folds(const struct tess_evaluation *evaluation, int64_t i);
/* Halvings' scores of those of the chunk's experiments that have folds, one after the other, and
 * the noise of all. Local. */
int tess_evaluate_halve(struct tess_evaluation *evaluation, struct tess_evaluate_chunk *chunk,
                        struct tess_error *error);

/* What the ceiling of a group is made of, an experiment with folds at a time. Rank 0. */
struct tess_ceiling_parts {
    int64_t n_halvings;
    struct tess_ceiling_sum *sum; /* (n_halvings) own */
    struct tess_pool pool; /* of the first method, on the same experiments */
    double own[TESS_METRICS], n[TESS_METRICS];
};
void tess_ceiling_parts_init(struct tess_ceiling_parts *parts, int64_t n_halvings);
/* half (n_halvings): an experiment's; score: the first method's. */
void tess_ceiling_parts_add(struct tess_ceiling_parts *parts, const struct tess_scores *half,
                            const struct tess_scores *score);
/* The group's ceiling, and where the model is above it; the parts are as after init. */
void tess_ceiling_parts_finish(const struct tess_evaluation *evaluation,
                               struct tess_ceiling_parts *parts, struct tess_group *group);
/* Scores of all experiments, shared out to the ranks, into the groups on rank 0. Collective. */
int tess_evaluate_groups(struct tess_evaluation *evaluation, struct tess_error *error);
/* Rank 0's sample to all, and the resamples of each rank's blocks to rank 0: (n_resamples, width),
 * own of the caller. stream: another number for each sample. Collective. */
double *tess_evaluate_resample(const struct tess_evaluation *evaluation, struct tess_sample *sample,
                               int64_t stream);
/* evaluation->epistasis, if options.epistasis asks for it. Collective. */
int tess_evaluate_epistasis(struct tess_evaluation *evaluation, struct tess_error *error);
/* Of scores that are not taken among others: those by which a prediction must find its own. Local.
 */
void tess_evaluate_leave_out(struct tess_scores *scores);
/* The strata of all scored experiments, if options.strata asks for them. Collective. */
int tess_evaluate_stratify(struct tess_evaluation *evaluation, struct tess_error *error);

#endif
