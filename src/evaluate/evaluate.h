/* evaluate.h -- the parts of an evaluation, for its files. */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "tessera/evaluate.h"

/* What the model predicts for the scored experiments [begin, end) of one context: (end - begin,
 * readouts of the context), NaN where it cannot. Local. */
void tess_evaluate_predict(const struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                           double *out);
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
/* Scores of experiments [begin, end): (end - begin, n_methods). Local. */
int tess_evaluate_score(struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                        struct tess_scores *score, struct tess_error *error);
/* Halvings' scores of experiments [begin, end): (end - begin, n_halvings). Local. */
int tess_evaluate_halve(struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                        struct tess_scores *score, struct tess_error *error);
/* From the halvings' scores of this rank's n_mine experiments, the groups' ceilings (rank 0), and
 * where the model is above them. Collective. */
void tess_evaluate_ceilings(struct tess_evaluation *evaluation, int64_t n_mine,
                            const struct tess_scores *mine);
extern const char *const tess_evaluate_above; /* what it means to be above the ceiling */
/* Why a baseline that never had anything of its own to say has no scores; NULL: it has. Rank 0. */
const char *tess_evaluate_excuse(const struct tess_evaluation *evaluation,
                                 const struct tess_group *group, int baseline);

#endif
