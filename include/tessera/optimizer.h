/* optimizer.h -- Adam, AdamW and SGD with momentum, dense for the MLP and lazy for table rows.
 *
 * The formulas are PyTorch's (torch.optim.Adam, AdamW, SGD). Every row of a table is due at every
 * step: with no gradient its moments still move it, and weight decay shrinks it. A row that no step
 * touches is left alone and caught up when one does. Where weight decay does not feed the moments
 * (AdamW, or none), all missed steps are one formula, whose scalars follow from the learning rates
 * of the past, which are kept; else they are replayed. Local, pure. */
#ifndef TESSERA_OPTIMIZER_H
#define TESSERA_OPTIMIZER_H

#include "tessera/config.h"
#include "tessera/rates.h"

#include <stddef.h>
#include <stdint.h>

/* Steps after which a moment's influence, (0.9 / sqrt(0.999))^n, is below rounding: the terms
 * summed. */
#define TESS_REPLAY 200
/* Rows last moved before this step are replayed: the bias correction still changes too fast. */
#define TESS_REPLAY_UNTIL 1000

struct tess_optimizer {
    int64_t kind; /* enum tess_optimizer_kind */
    double beta1, beta2, epsilon, weight_decay, momentum;
    int64_t step; /* steps begun */
    size_t room;
    double *rate; /* (step + 1) learning rate of each; [0] unused; own */
    double *log_keep; /* (step + 1) Σ log(1 - rate · weight decay) up to each; own */
    double *stride; /* (step + 1) rate / (1 - β1^t); own */
    double *root; /* (step + 1) 1 / sqrt(1 - β2^t); own */
    double factor; /* of the rates that it is given; 0: nothing moves */
    struct tess_optimizer *part[TESS_N_PARTS]; /* those with a factor of their own; own; or NULL */
};

void tess_optimizer_init(struct tess_optimizer *optimizer, const struct tess_config *config);
void tess_optimizer_release(struct tess_optimizer *optimizer);
/* Begin the next step, with its learning rate. */
void tess_optimizer_begin(struct tess_optimizer *optimizer, double rate);
/* That of a part of the model (rates.h): its steps are those of the whole. Borrowed. */
static inline const struct tess_optimizer *tess_optimizer_of(const struct tess_optimizer *optimizer,
                                                             int part)
{
    return optimizer->part[part] ? optimizer->part[part] : optimizer;
}

/* Parameters and their first and second moments, of equal lengths; SGD uses m alone. Borrowed. */
struct tess_parameters {
    float *x, *m, *v;
};
/* n parameters through the current step; their gradient is gradient · scale. */
void tess_optimizer_update(const struct tess_optimizer *optimizer, int64_t n, const float *gradient,
                           float scale, struct tess_parameters at);
/* n parameters that last moved at step `from`, through steps from + 1 … to without a gradient. */
void tess_optimizer_catch_up(const struct tess_optimizer *optimizer, int64_t n, int64_t from,
                             int64_t to, struct tess_parameters at);

/* A table of parameters, by rows. */
struct tess_parameter_rows {
    int64_t dim;
    struct tess_parameters at; /* (·, dim) each */
    int64_t *last; /* (·) step at which a row last moved; borrowed */
};
/* Catches up rows row[0 .. n), no row twice; their `last` becomes `to`. OpenMP. */
void tess_optimizer_catch_up_rows(const struct tess_optimizer *optimizer, int64_t n,
                                  const int64_t *row, int64_t to,
                                  const struct tess_parameter_rows *rows);

/* Learning rate of a step, by its place in the training (epoch and step_in_epoch count from 0): the
 * exponential schedule goes by whole epochs, warm-up and cosine by the step. */
double tess_optimizer_rate(const struct tess_config *config, int64_t epoch, int64_t step_in_epoch,
                           int64_t steps_per_epoch);

#endif
