/* effects.h -- what perturbing each gene does to each readout, in units of the noise.
 *
 * Regulators are the perturbed genes (m), targets the readouts (t), both in natural order of their
 * names (G2 before G10): nothing depends on the order in a file. A row is one regulator perturbed
 * in one of two contexts. Every rank has all rows of its own targets; which these are follows from
 * tiles of a width that depends on t alone. */
#ifndef TESSERA_EFFECTS_H
#define TESSERA_EFFECTS_H

#include "tessera/regulation_options.h"
#include "tessera/text.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_predicted;

enum { TESS_KNOCKOUT, TESS_KNOCKDOWN, TESS_PERTURBED };

struct tess_effects {
    MPI_Comm comm; /* borrowed */
    int rank, n_ranks;
    struct tess_strings regulator, target; /* (m), (t), the same on every rank; own */
    int64_t *column; /* (m) the target that a regulator itself is, or -1; own */
    int64_t *row[TESS_PERTURBED]; /* (m) its row, or -1; own */
    uint8_t *gained[TESS_PERTURBED]; /* (m) is that of a gain? Its z is turned round; own */
    int64_t n_rows;
    int64_t tile; /* targets of a tile */
    int64_t first, n; /* this rank's targets: whole tiles, but for the last */
    /* (n_rows + 1, n) averaged values, the last row the control's; after standardising: z, and 0
     * where nothing was measured and where a gene is read out that the row perturbs; own */
    double *value;
    uint8_t *measured; /* (n_rows + 1, n) 0 in those places; own */
    double *noise; /* (t) of each readout, in units of `scale`; own */
    double *own; /* (m) how far a knock-out moves its own gene, at least 2; own */
    double weight; /* of a knock-down beside a knock-out */
    int64_t n_combinations, n_unread; /* rows left out; regulators that are not read out */
    int64_t n_unlabelled; /* rows without a perturbation or a context; rank 0's */
    int64_t n_gained, n_contrary; /* rows of gains; those left out for losses of the same gene */
    int64_t n_weak; /* regulators whose `own` was measured to be less than 2 */
    double *middle; /* (t) what is 0 units of each readout; own */
    double power, unit; /* z = (value^power - middle) / unit */
    /* Knock-outs that a model imputes: */
    int64_t n_completed;
    int64_t *completed; /* (m) which of them a regulator is, or -1; own; NULL: there are none */
    int64_t *component; /* (n_completed) the model's numbers of the perturbations; own */
    uint8_t *turned; /* (m) of which n_completed say whether it is a gain; own */
    double *shrunk; /* (n_completed, n) what they add to z; NaN: unknown; own */
};

/* Rank 0 reads the store or file, every rank gets its targets. With a model (or NULL) what that was
 * trained on and nobody knocked out counts as perturbed. TESS_EDATA if there is no such context,
 * or fewer than 3 perturbed genes or readouts. Collective over effects->comm. */
int tess_effects_read(struct tess_effects *effects, const struct tess_regulation_options *options,
                      const struct tess_predicted *predicted, struct tess_error *error);
/* The same of a model's predictions, in place of an input: those of a member, or, of as many as
 * there are members, their mean. Collective over effects->comm. */
int tess_effects_predict(struct tess_effects *effects,
                         const struct tess_regulation_options *options,
                         const struct tess_predicted *predicted, int member,
                         struct tess_error *error);
/* Room for the rows' values, once rows and targets are known; rows are added to a place, and
 * averaged; NaN does not count. average releases `count`, whatever came of it. Local. */
int tess_effects_start(struct tess_effects *effects, uint32_t **count, struct tess_error *error);
void tess_effects_add(struct tess_effects *effects, uint32_t *count, int64_t place, const float *x);
void tess_effects_average(struct tess_effects *effects, uint32_t *count);
/* Values to z. TESS_EDATA if the values are constant. Collective. */
int tess_effects_standardise(struct tess_effects *effects, const char *path,
                             struct tess_error *error);
#define TESS_COMPLETED_SHARE 0.5 /* of what the models agree upon is added */
#define TESS_EFFECTS_ROWS    256 /* that a model predicts at a time */
/* What the model says of knock-outs that nobody measured, standardised as the others are: a member,
 * or, of as many as there are members, all together. TESS_EDATA if it does not know the context.
 * Collective. */
int tess_effects_complete(struct tess_effects *effects, const struct tess_predicted *predicted,
                          const char *context, int member, struct tess_error *error);
/* A readout's value in units of the noise. Local. */
double tess_effects_z(const struct tess_effects *effects, int64_t target, double value);
/* What the model adds at this rank's target number j; NaN: nothing is completed there. Local. */
double tess_effects_added(const struct tess_effects *effects, int64_t regulator, int64_t j);
void tess_effects_release(struct tess_effects *effects);

/* Deals the targets out, once their number is known. Local. */
void tess_effects_deal(struct tess_effects *effects);
/* Those of a rank: [*first, *first + *n). Local. */
void tess_effects_targets(const struct tess_effects *effects, int rank, int64_t *first, int64_t *n);
/* Which rank has a target. Local. */
int tess_effects_owner(const struct tess_effects *effects, int64_t target);
/* How far the regulator moves its own gene in the perturbations that say what happens to this
 * rank's target number j: `own`, or, where only the knock-down was measured, `weight` of it. A
 * model's prediction shows of an effect about as much as a knock-down does. Local. */
double tess_effects_own(const struct tess_effects *effects, int64_t regulator, int64_t j);
/* Was a perturbation of this regulator measured, or completed, at this rank's target number j?
 * Local. */
int tess_effects_known(const struct tess_effects *effects, int64_t regulator, int64_t j);

#endif
