/* traffic.c -- bytes and messages of each kind: who holds which lanes, rows and slices says what is
 * sent, as trainer_step.c, route.c and lanes.c send it. */
#include "traffic.h"

#include "tessera/alloc.h"

#include <string.h>

const char *const tess_traffic_names[TRAFFIC_KINDS] = {"rows asked for",    "rows fetched",
                                                       "gradients of rows", "sums over lanes",
                                                       "slices of the MLP", "pulse"};

/* Rows that one rank wants at a step, of whom. */
struct wanted {
    int64_t *of; /* (n_ranks) */
    int n; /* ranks that it wants any of */
    int *rank; /* (n_ranks) these */
};

static void add(struct traffic *traffic, int rank, enum traffic_kind kind, int64_t bytes,
                int64_t messages)
{
    traffic->bytes[rank][kind] += bytes;
    traffic->messages[rank][kind] += messages;
}

static int owner_of(const struct demand *demand, const struct tess_shard *shard, int64_t row)
{
    int t = TESS_N_TABLES - 1;

    while (row < demand->table_first[t])
        t--;
    return tess_shard_owner(&shard[t], row - demand->table_first[t]);
}

static void want(const struct demand *demand, const struct tess_shard *shard, int lane,
                 int64_t step, struct wanted *wanted)
{
    const struct demand_lane *from = &demand->lane[lane];

    if (step >= from->n_steps)
        return;
    for (int64_t i = from->first[step]; i < from->first[step + 1]; i++) {
        int owner = owner_of(demand, shard, from->row[i]);

        if (wanted->of[owner]++ == 0)
            wanted->rank[wanted->n++] = owner;
    }
}

/* The rows of one rank at one step: asked for, sent by their owners, gradients sent back. */
static void count_rows(struct traffic *traffic, const struct tess_trainer *trainer, int rank,
                       struct wanted *wanted)
{
    int64_t row_bytes = (int64_t)sizeof(float) * trainer->shape.dim;

    for (int i = 0; i < wanted->n; i++) {
        int owner = wanted->rank[i];
        int64_t n = wanted->of[owner];

        wanted->of[owner] = 0;
        if (owner == rank)
            continue;
        add(traffic, rank, TRAFFIC_ASKED, (int64_t)sizeof(int64_t) * n, 1);
        add(traffic, owner, TRAFFIC_FETCHED, row_bytes * n, 1);
        add(traffic, rank, TRAFFIC_RETURNED, row_bytes * n, 1);
    }
    wanted->n = 0;
}

/* What is the same at every step. */
static void count_always(struct traffic *traffic, const struct tess_trainer *trainer)
{
    const struct tess_lanes *lanes = &trainer->lanes;
    int64_t n = tess_shape_size(trainer->shape), steps = traffic->n_steps;
    int64_t *slice = tess_trainer_slices(n, traffic->n_ranks), others = traffic->n_ranks - 1;
    int64_t windows = (steps + TESS_WINDOW - 1) / TESS_WINDOW;

    for (int r = 0; r < traffic->n_ranks; r++) {
        int64_t width = slice[r + 1] - slice[r], bytes = (int64_t)sizeof(float);
        int64_t roots = lanes->root_first[r + 1] - lanes->root_first[r];

        traffic->widest = width > traffic->widest ? width : traffic->widest;
        add(traffic, r, TRAFFIC_ASKED, (int64_t)sizeof(int) * steps * others, windows * others);
        add(traffic, r, TRAFFIC_SUMS, steps * roots * bytes * (n - width), steps * roots * others);
        if (others > 0)
            add(traffic, r, TRAFFIC_SLICES, steps * bytes * width, steps);
        add(traffic, r, TRAFFIC_PULSE,
            steps * (int64_t)sizeof(double) * (2 * lanes->n + TESS_PULSE_EXTRA), steps);
    }
    traffic->n_roots = lanes->n_roots;
    tess_free(slice);
}

void tess_traffic_init(struct traffic *traffic, const struct tess_trainer *trainer,
                       const struct demand *demand)
{
    int n_ranks = trainer->n_ranks;
    struct wanted wanted = {TESS_NEW(int64_t, n_ranks), 0, TESS_NEW(int, n_ranks)};
    struct tess_shard shard[TESS_N_TABLES];

    *traffic = (struct traffic){.n_ranks = n_ranks, .n_steps = demand->n_steps};
    traffic->bytes = tess_alloc((size_t)n_ranks, sizeof *traffic->bytes);
    traffic->messages = tess_alloc((size_t)n_ranks, sizeof *traffic->messages);
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_shard_divide(&shard[t], demand->table_first[t + 1] - demand->table_first[t], 0,
                          n_ranks);
    for (int64_t step = 0; step < demand->n_steps; step++)
        for (int r = 0; r < n_ranks; r++) {
            for (int l = trainer->lanes.first[r]; l < trainer->lanes.first[r + 1]; l++)
                want(demand, shard, l, step, &wanted);
            count_rows(traffic, trainer, r, &wanted);
        }
    count_always(traffic, trainer);
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_shard_release(&shard[t]);
    tess_free(wanted.of);
    tess_free(wanted.rank);
}

void tess_traffic_release(struct traffic *traffic)
{
    tess_free(traffic->bytes);
    tess_free(traffic->messages);
    *traffic = (struct traffic){.n_ranks = 0};
}

int64_t tess_traffic_sum(const struct traffic *traffic, int64_t (*what)[TRAFFIC_KINDS],
                         enum traffic_kind kind)
{
    int64_t sum = 0;

    for (int r = 0; r < traffic->n_ranks; r++)
        sum += what[r][kind];
    return sum;
}

int64_t tess_traffic_most(const struct traffic *traffic, int64_t (*what)[TRAFFIC_KINDS],
                          enum traffic_kind kind)
{
    int64_t most = 0;

    for (int r = 0; r < traffic->n_ranks; r++)
        most = what[r][kind] > most ? what[r][kind] : most;
    return most;
}
