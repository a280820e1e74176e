/* bench.h -- what the parts of the benchmark share: the report, medians, clocks across ranks. */
#ifndef BENCH_H
#define BENCH_H

#include "tessera/bench.h"
#include "tessera/config.h"
#include "tessera/trainer.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>

#define BENCH_MOST 101 /* repeats */

/* Observations a second that the section's last part in a precision reached; 0: none yet. */
struct bench_rates {
    double training, memory, file; /* imputation in memory, into the file */
    double mlp; /* the section's mlp, tiles */
};

struct bench {
    const struct tess_bench *options;
    MPI_Comm comm;
    int rank, n_ranks, n_threads, repeat;
    char directory[TESS_PATH]; /* of temporary files */
    struct bench_rates rate[2]; /* float32's, bfloat16's (enum tess_precision) */
    double peak[2]; /* operations a second of a core, sgemm's unit and bfloat16's; 0: not measured
                     */
    double memory_rate; /* bytes a second of all ranks and threads; 0: not measured */
    json_t *report; /* rank 0's; own */
    json_t *section, *at; /* where in it; borrowed */
};

/* A new section of table and report, and a part of it. Rank 0 speaks; any rank may call. */
void tess_bench_section(struct bench *bench, const char *name, const char *title);
void tess_bench_part(struct bench *bench, const char *name, const char *title);
/* A line: a number and, unless NaN, its share of something. */
void tess_bench_say(struct bench *bench, const char *name, double value, const char *unit,
                    double share, const char *of);

double tess_bench_median(int n, const double *x);
/* The time, once all ranks are here. Collective. */
double tess_bench_start(const struct bench *bench);
/* Seconds since then until the last rank came here: the same on every rank. Collective. */
double tess_bench_stop(const struct bench *bench, double start);
double tess_bench_sum(const struct bench *bench, double x); /* over ranks. Collective */

/* What the program's unit for bfloat16 (bfloat16.h) multiplies in a loop of nothing else, with
 * intrinsics of its own: operations of a call with `n`. 0: there is no such loop for this unit or
 * this compiler. Local. */
double tess_bench_unit_loop(int64_t n, float *sum);

/* The machine by itself: products of (rows, hidden, hidden) for each of the widths, of sgemm and of
 * the unit for bfloat16. Collective. */
void tess_bench_machine(struct bench *bench, int n_hidden, const int *hidden);
/* Messages between ranks. Collective. */
void tess_bench_messages(struct bench *bench);
/* Rate of a dense inverse over all ranks, as a share of the same run's dgemm. Collective. */
int tess_bench_dense(struct bench *bench, struct tess_error *error);

/* Settings of what is measured, whatever the program's defaults are. */
void tess_bench_settings(const struct bench *bench, struct tess_config *config);
/* A store of them; sets config->data.store. tess_bench_forget removes it. Collective. */
int tess_bench_simulate(const struct bench *bench, const struct tess_bench_data *data,
                        struct tess_config *config, struct tess_error *error);
void tess_bench_forget(const struct bench *bench, const char *path);

/* Seconds of the recorded products alone, on all threads (a probe each) of all ranks. Collective.
 */
double tess_bench_replay(const struct bench *bench, const struct tess_probe *probe);

/* What the share of products in a time is a share of. */
const char *tess_bench_alone(int64_t precision);
/* How many times float32's rate that is, of the part before, if there was one. */
void tess_bench_compare(struct bench *bench, const char *name, double rate, double float32);

/* Training with these settings, in one precision, which becomes part of the label; imputation with
 * what comes out, if `impute`. Collective. */
int tess_bench_training(struct bench *bench, const struct tess_config *config, const char *label,
                        int impute, struct tess_error *error);
/* The stages of a step, at their fastest of `repeat` stretches. Collective. */
int tess_bench_stages(struct bench *bench, const struct tess_config *config,
                      struct tess_bench_step *step, struct tess_error *error);
int tess_bench_imputation(struct bench *bench, struct tess_trainer *trainer,
                          struct tess_error *error);
/* A step's cost as the perturbation table grows. Collective. */
#define BENCH_GROWTH_READOUTS 32
int tess_bench_growth(struct bench *bench, struct tess_error *error);

#endif
