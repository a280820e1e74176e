/* forecast_imputation.c -- what an imputation will take: a dry run, and a block that is predicted.
 */
#include "forecast.h"

#include "tessera/forecast.h"

#include "tessera/agree.h"
#include "tessera/bench.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/impute.h"
#include "tessera/log.h"

#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

struct imputing {
    struct tess_impute_plan plan;
    double values;
    double one, many; /* values a second of one core; of n_many together */
    int n_many, given;
    double rate, hours; /* of all ranks */
};

/* Cores share memory and clock: each is as fast as those that were measured together. */
static int measure(struct imputing *work, const struct tess_impute *impute,
                   const struct tess_forecast *forecast, struct tess_error *error)
{
    double cores = (double)forecast->ranks * (double)forecast->threads;
    double on_a_node =
        ceil((double)forecast->ranks / (double)forecast->nodes) * (double)forecast->threads;

    work->n_many = (int)fmin(on_a_node, omp_get_num_procs());
    work->one = work->many = forecast->rate;
    work->given = forecast->rate > 0;
    if (!work->given && tess_bench_predictions(impute->n_models, impute->model, impute->precision,
                                               1, &work->one, error) == TESS_OK)
        tess_bench_predictions(impute->n_models, impute->model, impute->precision, work->n_many,
                               &work->many, error);
    work->many = work->given ? work->one * work->n_many : work->many;
    work->rate = work->many / work->n_many * cores;
    work->hours = work->values / work->rate / 3600;
    return error->code;
}

static void print(const struct imputing *work, const struct tess_forecast *forecast)
{
    printf("%.0f rows × %.0f readouts = %.4g values: %.4g GB\n", work->plan.rows,
           work->plan.readouts, work->values, work->plan.bytes / 1e9);
    printf("rate                   %.4g million values/s of one core (%s", work->one / 1e6,
           work->given ? "given" : "measured here");
    if (work->n_many > 1 && !work->given)
        printf(", %.4g of %d", work->many / 1e6, work->n_many);
    printf(")\n%lld ranks × %lld threads on %lld nodes\n", (long long)forecast->ranks,
           (long long)forecast->threads, (long long)forecast->nodes);
    printf("  memory of each rank  %.4g MB\n", work->plan.memory / 1e6);
    printf("  hours                %.3g, while the disk takes at least %.3g MB/s (slower ones "
           "decide)\n",
           work->hours, work->plan.bytes / (work->hours * 3600) / 1e6);
    fflush(stdout);
}

static int write(const struct imputing *work, const char *path, struct tess_error *error)
{
    json_t *all = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "rows", work->plan.rows,
                            "readouts", work->plan.readouts, "bytes", work->plan.bytes,
                            "memory_bytes", work->plan.memory, "values_per_s_of_a_core", work->one,
                            "values_per_s", work->rate, "hours", work->hours);
    char *text = json_dumps(all, JSON_INDENT(2));

    tess_commit_text(path, text, error);
    free(text); /* Jansson's own */
    json_decref(all);
    return error->code;
}

int tess_forecast_imputation(const struct tess_forecast *forecast, const struct tess_impute *impute,
                             MPI_Comm comm, struct tess_error *error)
{
    struct imputing work = {.given = 0};
    struct tess_impute dry = *impute;
    enum tess_log_level level = tess_log_level;
    int rank;

    MPI_Comm_rank(comm, &rank);
    dry.dry_run = 1;
    dry.plan = &work.plan;
    dry.threads = forecast->threads;
    if (tess_log_level == TESS_LOG_INFO)
        tess_log_level = TESS_LOG_WARN;
    tess_impute_write(&dry, comm, error);
    tess_log_level = level;
    work.values = work.plan.rows * work.plan.readouts;
    if (error->code == TESS_OK && rank == 0 && measure(&work, impute, forecast, error) == TESS_OK) {
        print(&work, forecast);
        if (forecast->json)
            write(&work, forecast->json, error);
    }
    tess_forecast_meet(comm);
    return tess_agree(comm, error);
}
