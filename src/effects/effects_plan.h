/* effects_plan.h -- which row of whatever input goes where in the effects, by its labels. Local. */
#ifndef EFFECTS_PLAN_H
#define EFFECTS_PLAN_H

#include "tessera/effects.h"
#include "tessera/intern.h"

enum { TESS_LEFT_OUT = -1 };

struct tess_effects_plan {
    struct tess_intern readouts, regulators; /* own */
    int sampled; /* is each row a row of its own, whatever was perturbed? */
    int64_t n_rows;
    int64_t *regulator; /* (n_rows) of `regulators`; -1: left out; -2: the control; own */
    int8_t *kind; /* (n_rows) own */
    uint8_t *gained; /* (n_rows) was there more of the gene? own */
    int64_t n_of[TESS_PERTURBED]; /* rows of a kind */
};

/* All readouts, by their names, come before the first row. */
void tess_effects_plan_init(struct tess_effects_plan *plan, int64_t n_rows, int sampled);
void tess_effects_plan_readout(struct tess_effects_plan *plan, const char *name);
/* kind: TESS_KNOCKOUT, TESS_KNOCKDOWN, or TESS_LEFT_OUT; text: the perturbation, or NULL. */
void tess_effects_plan_label(struct tess_effects_plan *plan, int64_t row, int kind,
                             const char *text, struct tess_effects *effects);
/* Names in order, each regulator's column and rows; place (n_rows) out: row of the effects, or
 * TESS_LEFT_OUT. TESS_EDATA: fewer than 3 perturbed genes or readouts. */
int tess_effects_plan_finish(struct tess_effects_plan *plan, struct tess_effects *effects,
                             const struct tess_regulation_options *options, int64_t *place,
                             struct tess_error *error);
void tess_effects_plan_release(struct tess_effects_plan *plan);

#endif
