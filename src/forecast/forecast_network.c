/* forecast_network.c -- what `network infer --method direct` will take: matrices of genes × genes
 * on all ranks, and the products that inverses are made of, at the rate of one that is measured
 * here.
 */
#include "forecast.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/regulation.h"

#include <cblas.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SIDE       1024 /* of the product that is measured */
#define EFFICIENT  0.7 /* of its rate is assumed of inverses on all ranks (docs/scaling.md) */
#define MOST_RANKS 64 /* of the table, if no more are asked for */

/* Operations a second of one core: the best of three. */
static double measure(void)
{
    double *a = TESS_NEW(double, 3 * SIDE * SIDE), least = INFINITY;

    for (int64_t k = 0; k < 2 * SIDE * SIDE; k++)
        a[k] = (double)(k % 7) - 3;
    for (int turn = 0; turn < 3; turn++) {
        double began = tess_clock();

        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1, a, SIDE,
                    a + SIDE * SIDE, SIDE, 0, a + 2 * SIDE * SIDE, SIDE);
        least = fmin(least, tess_clock() - began);
    }
    tess_free(a);
    return 2.0 * SIDE * SIDE * SIDE / least;
}

/* Numbers of ranks: 1, 2, 4 and so on, and the one that is asked for. */
static int64_t next_ranks(int64_t ranks, int64_t asked)
{
    int64_t power = 1;

    while (power <= ranks)
        power *= 2;
    return ranks < asked && power > asked ? asked : power;
}

static json_t *print(const struct tess_forecast *forecast, double rate)
{
    double n = (double)forecast->genes;
    int64_t most = forecast->ranks > MOST_RANKS ? forecast->ranks : MOST_RANKS;
    json_t *all = json_array();

    printf("direct, %.0f genes: %.3g Gflop/s of a core (%s), %.0f %% of it reached\n", n,
           rate / 1e9, forecast->rate > 0 ? "given" : "measured here", 100 * EFFICIENT);
    printf("ranks  memory of each  of all      hours\n");
    for (int64_t ranks = 1; ranks <= most; ranks = next_ranks(ranks, forecast->ranks)) {
        double bytes = tess_regulation_direct_bytes(forecast->genes, (int)ranks);
        double hours = tess_regulation_direct_work(forecast->genes) /
                       (rate * EFFICIENT * (double)ranks) / 3600;

        int fits = tess_regulation_direct_fits(forecast->genes, (int)ranks);

        printf("%5lld  %8.4g GB     %8.4g GB  %.3g%s%s\n", (long long)ranks, bytes / 1e9,
               bytes * (double)ranks / 1e9, hours, ranks == forecast->ranks ? "  (asked)" : "",
               fits ? "" : "  refused: ScaLAPACK counts up to 2^31 numbers a rank");
        json_array_append_new(all,
                              json_pack("{s:I, s:f, s:f, s:b}", "ranks", (json_int_t)ranks,
                                        "memory_bytes", bytes, "hours", hours, "possible", fits));
    }
    fflush(stdout);
    return json_pack("{s:I, s:f, s:o}", "genes", (json_int_t)forecast->genes, "flop_per_s", rate,
                     "layouts", all);
}

int tess_forecast_network(const struct tess_forecast *forecast, MPI_Comm comm,
                          struct tess_error *error)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0) {
        json_t *json = print(forecast, forecast->rate > 0 ? forecast->rate : measure());
        char *text = json_dumps(json, JSON_INDENT(2));

        if (forecast->json)
            tess_commit_text(forecast->json, text, error);
        free(text); /* Jansson's own */
        json_decref(json);
    }
    return tess_agree(comm, error);
}
