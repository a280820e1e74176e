/* statistics.h -- number, mean and squared deviations of the training values, by context and
 * readout, or by context alone.
 *
 * Experiments are cut into chunks, a function of the store alone, which ranks take in turns. A
 * chunk's sums are made by one rank, and those of a context put together in the order of its chunks
 * (Chan, Golub and LeVeque 1979), so that the numbers do not depend on the ranks. Each rank keeps
 * the sums of a slice of the readouts (slices.h). */
#ifndef TESSERA_TRAIN_STATISTICS_H
#define TESSERA_TRAIN_STATISTICS_H

#include "tessera/config.h"
#include "tessera/scaling.h"
#include "tessera/store.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_moments {
    double n, mean, square; /* of n values: their mean, Σ (value - mean)² */
};

enum tess_detail {
    TESS_OF_ALL, /* all values of a context together: as if there was one readout */
    TESS_OF_READOUTS, /* of every readout */
    TESS_OF_CONTROLS /* of every readout: of all experiments, and of the controls among them */
};

struct tess_statistics {
    MPI_Comm comm; /* borrowed */
    int sets; /* 2 with controls, else 1 */
    int64_t n_contexts, n_columns; /* columns: readouts, or the one that stands for all */
    int64_t first, n; /* columns of this rank */
    struct tess_moments *cell; /* (n_contexts, n, sets): all; control; own */
    double bytes; /* that making them took */
};

/* The cell of context c and this rank's k-th column. Local. */
static inline const struct tess_moments *tess_statistics_cell(const struct tess_statistics *s,
                                                              int64_t c, int64_t k)
{
    return s->cell + (c * s->n + k) * s->sets;
}

/* One pass over the training values. Whatever comes of it must be released. Collective over comm.
 */
int tess_statistics_gather(struct tess_statistics *s, const struct tess_store *store,
                           enum tess_detail detail, MPI_Comm comm, struct tess_error *error);
void tess_statistics_release(struct tess_statistics *s);

/* b's values are added to a's. Local. */
void tess_moments_add(struct tess_moments *a, struct tess_moments b);
/* Standard deviation (n - 1); 0 of less than two values. Local. */
double tess_moments_deviation(struct tess_moments m);

/* keep[readout] = 1 for the `want` readouts that vary most within contexts; ties to the lower
 * number. Of statistics by readout. Collective over s->comm. */
void tess_statistics_select(const struct tess_statistics *s, int64_t want, uint8_t *keep);
/* The scaling that data.normalize and data.scale ask for, of the kept readouts. To be released, and
 * empty before. Of statistics by readout, unless neither readouts are chosen nor values normalised.
 * Collective over s->comm. */
void tess_statistics_scaling(const struct tess_statistics *s, const struct tess_config *config,
                             const uint8_t *keep, struct tess_scaling *scaling);

#endif
