/* bench.h -- how fast this machine multiplies matrices, and how near to that training and
 * imputation come: rates at the published recipes' shapes, or at a run's own.
 *
 * Shares are of the same run's products: the very calls of a stretch of training (shapes,
 * transposes, buffers, precision), replayed alone, divided by the time of the stretch. Where there
 * is a unit for bfloat16 (bfloat16.h), everything is measured in float32 and in bfloat16. */
#ifndef TESSERA_BENCH_H
#define TESSERA_BENCH_H

#include "tessera/config.h"
#include "tessera/trainer.h"

#include <mpi.h>

struct tess_error;

struct tess_bench {
    const struct tess_config *config; /* a run's own settings, its store included; or NULL */
    const char *recipe; /* one of tess_bench_recipes; NULL: all, none with a config */
    const char *store; /* data for the recipes; NULL: simulated */
    const char *directory; /* for temporary files; NULL: TMPDIR or /tmp */
    const char *json; /* write the numbers there; or NULL. All of these borrowed */
    int64_t repeat; /* medians of so many */
    int64_t threads; /* of a rank */
    int rates; /* nothing but rates of training and imputation */
    int quick; /* small data, short stretches: a look, not a measurement */
};

/* Names, ending in NULL. */
extern const char *const tess_bench_recipes[];

/* Measures, prints a table on rank 0. TESS_EUSAGE for an unknown recipe. Collective. */
int tess_bench_run(const struct tess_bench *bench, MPI_Comm comm, struct tess_error *error);

/* Simulated data. */
struct tess_bench_data {
    int64_t perturbations, readouts, contexts;
    double sparsity; /* share of missing values */
};
/* What a step of a training on one rank takes. */
struct tess_bench_step {
    double stage[TESS_N_STAGES]; /* seconds */
    double begun; /* seconds of an epoch's beginning, a step's share */
    double observations; /* of a step */
    double rows; /* of the tables, sent and received again */
    double parameters; /* of the MLP */
    int64_t lanes;
    double validation; /* seconds a value that is predicted; 0: the data have none */
};
/* Measures one: on the configuration's store, or if `data` is not NULL on simulated data, in a
 * temporary folder of `directory` (NULL: TMPDIR or /tmp). Local. */
int tess_bench_measure(const struct tess_config *config, const struct tess_bench_data *data,
                       const char *directory, struct tess_bench_step *step,
                       struct tess_error *error);
/* Values a second that the models (runs or checkpoints, as struct tess_impute has them) predict
 * together, in memory, with so many threads of one rank. Local. */
int tess_bench_predictions(int n_models, char *const *model, int precision, int threads,
                           double *rate, struct tess_error *error);
/* Seconds of a small message from the first rank to the last, and bytes a second from each rank to
 * the next, all at once. Of at least two ranks. Collective. */
void tess_bench_link(MPI_Comm comm, double *latency, double *bandwidth);

#endif
