/* estimate.c -- the time of a step: what a rank computes, what it waits for, what it sends. */
#include "estimate.h"

#include <math.h>

const char *const tess_limit_names[LIMITS] = {"compute", "load imbalance", "optimiser", "latency",
                                              "bandwidth"};

/* Where nothing is measured: floats a second that the optimiser goes through (it reads four arrays
 * and writes three), and that sums add. */
#define UPDATES 4e8
#define SUMS    2e9

#define EACH_MESSAGE 5e-7 /* seconds that a message costs its rank, besides the first one's way */
#define SHORT_GATHER 5e4 /* bytes; an MPI_Allgatherv of fewer takes log2 steps, else one a rank */

void tess_estimate_given(struct estimate_basis *basis, const struct tess_trainer *trainer,
                         double rate)
{
    double batch = (double)trainer->schedule.batch;

    basis->one = (struct tess_bench_step){.observations = batch,
                                          .lanes = trainer->schedule.lanes,
                                          .parameters = (double)tess_shape_size(trainer->shape)};
    basis->one.stage[TESS_STAGE_LANES] = batch / rate;
    basis->one.stage[TESS_STAGE_OPTIMIZE] = basis->one.parameters / UPDATES;
    basis->one.stage[TESS_STAGE_REDUCE] = basis->one.parameters / SUMS;
    basis->one.validation = 1 / (3 * rate);
    basis->many = basis->one;
    basis->n_many = 1;
    basis->given = 1;
}

/* How many times longer a core takes when so many work at once: they share memory and clock. */
static double slowdown(const struct estimate_basis *basis, double cores)
{
    double many = basis->n_many, most;

    if (many <= 1)
        return 1;
    most = many * basis->many.stage[TESS_STAGE_LANES] /
           fmax(basis->one.stage[TESS_STAGE_LANES], 1e-12);
    most = fmax(most, 1);
    return 1 + (most - 1) * (fmin(cores, many) - 1) / (many - 1);
}

/* A stage that is partly shared by threads: what n_many of them saved says how far (Amdahl 1967).
 */
static double with_threads(const struct estimate_basis *basis, enum tess_stage stage, int threads)
{
    double one = basis->one.stage[stage], many = basis->n_many, shared;

    if (many <= 1)
        return one;
    shared = (one - basis->many.stage[stage]) / (1 - 1 / many);
    shared = fmin(fmax(shared, 0), one);
    return one - shared + shared / threads;
}

/* Lanes are whole: a rank's threads take them in turns, and all wait for the rank with most. */
static void compute(struct estimate *e, const struct estimate_basis *basis,
                    const struct tess_lanes *lanes, double busy)
{
    double lane = (basis->one.stage[TESS_STAGE_LANES] + basis->one.stage[TESS_STAGE_PREPARE] +
                   basis->one.begun) /
                  (double)basis->one.lanes * slowdown(basis, busy);
    double most = ceil((double)lanes->n / e->ranks), even;

    even = (double)lanes->n / ((double)e->ranks * e->threads);
    e->part[LIMIT_COMPUTE] = lane * even;
    e->part[LIMIT_IMBALANCE] = lane * (ceil(most / e->threads) - even);
}

/* Rows by their number on a rank; the MLP's update by its slice; its sums by the roots of the tree.
 */
static void optimize(struct estimate *e, const struct estimate_basis *basis,
                     const struct tess_trainer *trainer, const struct traffic *traffic)
{
    double n = (double)tess_shape_size(trainer->shape), slice = (double)traffic->widest / n;
    double share = (double)trainer->lanes.n / (double)basis->one.lanes / e->ranks;
    double floats = basis->one.rows * trainer->shape.dim, all = fmax(n + floats, 1);
    double update = with_threads(basis, TESS_STAGE_OPTIMIZE, e->threads);

    e->part[LIMIT_OPTIMIZER] =
        (with_threads(basis, TESS_STAGE_GATHER, e->threads) +
         with_threads(basis, TESS_STAGE_SHARE, e->threads)) *
            share +
        update * (n / all * slice + floats / all * share) +
        with_threads(basis, TESS_STAGE_REDUCE, e->threads) * slice * (double)traffic->n_roots;
}

/* Of the rank that sends most or gets most; kinds that go back and forth are each other's mirror.
 */
static double most_of(const struct traffic *traffic, int64_t (*what)[TRAFFIC_KINDS],
                      enum traffic_kind kind)
{
    double most = (double)tess_traffic_most(traffic, what, kind);

    if (kind == TRAFFIC_FETCHED || kind == TRAFFIC_RETURNED)
        most = fmax((double)tess_traffic_most(traffic, what, TRAFFIC_FETCHED),
                    (double)tess_traffic_most(traffic, what, TRAFFIC_RETURNED));
    return most / (double)traffic->n_steps;
}

/* Bytes through one rank at a step, collective calls as their usual algorithms send them. */
static double bytes_of(const struct traffic *traffic, const struct tess_trainer *trainer)
{
    double n = 4 * (double)tess_shape_size(trainer->shape);
    double bytes = n * (1 - 1.0 / traffic->n_ranks), got;

    for (int kind = TRAFFIC_ASKED; kind <= TRAFFIC_RETURNED; kind++)
        bytes += most_of(traffic, traffic->bytes, (enum traffic_kind)kind);
    /* of sums: what its slice's owner gets of all other ranks' roots, if that is more */
    got = 4 * (double)traffic->widest * (double)traffic->n_roots * (1 - 1.0 / traffic->n_ranks);
    bytes += fmax(most_of(traffic, traffic->bytes, TRAFFIC_SUMS), got);
    return bytes +
           most_of(traffic, traffic->bytes, TRAFFIC_PULSE) * ceil(log2((double)traffic->n_ranks));
}

/* Ways that follow one upon another at a step, and messages that a rank sends on them. */
static double rounds_of(const struct traffic *traffic, const struct tess_trainer *trainer,
                        double *messages)
{
    double n = traffic->n_ranks, tree = ceil(log2(n));
    double gather = 4 * (double)tess_shape_size(trainer->shape) < SHORT_GATHER ? tree : n - 1;

    *messages = gather + tree;
    for (int kind = TRAFFIC_ASKED; kind <= TRAFFIC_SUMS; kind++)
        *messages += most_of(traffic, traffic->messages, (enum traffic_kind)kind);
    /* who asks for how many (once a window), for which; rows, gradients, sums */
    return 1.0 / TESS_WINDOW + 4 + gather + tree;
}

/* A node's ranks share its way to the others. */
static void communicate(struct estimate *e, const struct estimate_basis *basis,
                        const struct tess_trainer *trainer, const struct traffic *traffic)
{
    double nodes = fmin(basis->nodes, e->ranks), local = ceil(e->ranks / nodes), messages, rounds,
           bytes, away;
    const struct tess_link *in = &basis->within, *out = &basis->between;

    if (e->ranks == 1)
        return;
    away = nodes > 1 ? (e->ranks - local) / (e->ranks - 1.0) : 0;
    rounds = rounds_of(traffic, trainer, &messages);
    bytes = bytes_of(traffic, trainer);
    e->part[LIMIT_LATENCY] =
        rounds * (away > 0 ? out->latency : in->latency) + messages * EACH_MESSAGE;
    e->part[LIMIT_BANDWIDTH] =
        bytes * (1 - away) / in->bandwidth + bytes * away * local / out->bandwidth;
}

void tess_estimate_times(struct estimate *e, const struct estimate_basis *basis,
                         const struct tess_trainer *trainer, const struct traffic *traffic)
{
    /* Ranks fill nodes evenly. */
    double busy = ceil((double)e->ranks / basis->nodes * basis->sharing) * e->threads;

    for (int i = 0; i < LIMITS; i++)
        e->part[i] = 0;
    compute(e, basis, &trainer->lanes, busy);
    optimize(e, basis, trainer, traffic);
    communicate(e, basis, trainer, traffic);
    e->step = 0;
    e->limit = LIMIT_COMPUTE;
    for (int i = 0; i < LIMITS; i++) {
        e->step += e->part[i];
        if (e->part[i] > e->part[e->limit])
            e->limit = (enum limit)i;
    }
    e->validation = basis->values * basis->one.validation * slowdown(basis, busy) /
                    ((double)e->ranks * e->threads);
    e->rate = basis->observations / (basis->steps * e->step);
    e->hours = basis->epochs * (basis->steps * e->step + e->validation) / 3600;
}
