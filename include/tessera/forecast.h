/* forecast.h -- what a training will take, said before it is queued: memory, disk, messages, hours,
 * and which ranks and threads suit it. docs/scaling.md has the formulas. */
#ifndef TESSERA_FORECAST_H
#define TESSERA_FORECAST_H

#include "tessera/config.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_impute;

/* Data that are not there yet: what a store of them would hold. Every tenth experiment is for
 * validation. */
struct tess_forecast_shape {
    int64_t perturbations, readouts, contexts; /* 0: there is a store */
    int64_t experiments; /* 0: perturbations × contexts */
    double missing; /* share of values */
};

/* A way between ranks: seconds of a small message, bytes a second. */
struct tess_link {
    double latency, bandwidth;
    int given; /* 1: by the user; 2: measured; 0: a default */
};

struct tess_forecast {
    const struct tess_config *config; /* borrowed */
    struct tess_forecast_shape shape;
    int64_t ranks, threads, nodes; /* of all; of a rank; that the ranks are spread over */
    int64_t steps; /* whose messages are counted, from the first on */
    double rate; /* observations a second of one core; 0: it is measured here */
    int64_t genes; /* of a network, instead of a training; 0: none */
    struct tess_link network; /* between nodes; latency 0: a default */
    const char *directory; /* for simulated data; NULL: TMPDIR or /tmp. Borrowed */
    const char *json; /* write the numbers there; or NULL. Borrowed */
};

/* TESS_EUSAGE for a shape, ranks or nodes that cannot be. Local. */
int tess_forecast_check(const struct tess_forecast *forecast, struct tess_error *error);
/* Says it on rank 0, which does all the work; with several ranks the messages between them are
 * measured first. The codes of tess_trainer_open. Collective over comm. */
int tess_forecast_run(const struct tess_forecast *forecast, MPI_Comm comm,
                      struct tess_error *error);
/* The same of an imputation: what a dry run says, and the hours that its predictions take. Of the
 * forecast ranks, threads, nodes, rate (values a second of one core) and json count. The codes of
 * tess_impute_write. Collective over comm. */
int tess_forecast_imputation(const struct tess_forecast *forecast, const struct tess_impute *impute,
                             MPI_Comm comm, struct tess_error *error);
/* Memory and hours of `network infer --method direct` on 1, 2, 4 and so on ranks. Of the forecast
 * genes, ranks, rate (here: operations a second of one core) and json count. Collective over comm.
 */
int tess_forecast_network(const struct tess_forecast *forecast, MPI_Comm comm,
                          struct tess_error *error);

#endif
