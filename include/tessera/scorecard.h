/* scorecard.h -- what an evaluation found, for people and programs. */
#ifndef TESSERA_SCORECARD_H
#define TESSERA_SCORECARD_H

#include <jansson.h>
#include <stdio.h>

struct tess_error;
struct tess_evaluation;

/* Everything, as JSON (docs/formats.md, "Scores"); own of the caller. Local,
 * on rank 0. */
json_t *tess_scorecard_json(const struct tess_evaluation *evaluation);
/* The scores that matter most, as a table. Local, on rank 0. */
void tess_scorecard_print(const struct tess_evaluation *evaluation, FILE *out);

/* Predictions and measured values of the scored experiments as the two .h5ad that cell-eval reads:
 * one row each, and the measured control of each context in both. Contexts without control are left
 * out. TESS_EUSAGE if nothing is predicted, TESS_EDATA if no context has a control, or they have no
 * readout in common. Collective. */
int tess_scorecard_cell_eval(struct tess_evaluation *evaluation, const char *predicted,
                             const char *real, struct tess_error *error);

#endif
