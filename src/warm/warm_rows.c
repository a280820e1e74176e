/* warm_rows.c -- a trained model's rows and network to a trainer; means of kinds for what is new.
 * Rows are read in blocks that lie at the same places on any number of ranks. */
#include "tessera/warm.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/parts.h"
#include "tessera/target.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <string.h>

#define BLOCK 4096 /* rows read at a time */
#define KINDS 64 /* of new perturbations, with a mean of their own */

/* Means of rows that the model was trained on, of the kinds that new ones are of: a role in vectors
 * (composition.h), and of perturbations a role and a type (target.h). */
struct means {
    const struct tess_warm *warm; /* borrowed */
    int table, dim;
    uint8_t *part; /* (parts of the model's) trained? NULL: there are none; own */
    struct tess_strings kind; /* own */
    double *sum; /* (kinds, dim + 1) sums, and the number of rows; own */
};

static struct tess_state_range block_of(const struct tess_state *state, int table, int64_t block)
{
    int64_t n = state->vocab[table].n + state->n_parts[table], first = block * BLOCK;

    return (struct tess_state_range){first, n - first < BLOCK ? n - first : BLOCK};
}

static int64_t blocks_of(const struct tess_state *state, int table)
{
    return (state->vocab[table].n + state->n_parts[table] + BLOCK - 1) / BLOCK;
}

/* The kinds of a row: its role alone, then with its type (NULL: the same). role NULL: what is its
 * own beside its parts has none, and begins at 0 as ever. Own of the caller. */
struct kinds {
    char *role, *type;
};

static struct kinds kinds_of(const struct tess_state *state, int table, int64_t row)
{
    const struct tess_composition *composition = &state->composition[table];
    int64_t own = state->vocab[table].n;
    struct kinds kinds = {tess_composition_role(composition, table, row), NULL};

    if (kinds.role && table == TESS_TABLE_P) {
        char *type = tess_target_type(row < own ? state->vocab[table].symbol[row]
                                                : composition->part.symbol[row - own]);

        kinds.type = tess_format("%s %s", kinds.role, type);
        tess_free(type);
    }
    return kinds;
}

static void kinds_release(struct kinds *kinds)
{
    tess_free(kinds->role);
    tess_free(kinds->type);
}

/* Place of a kind's sum; NULL: it is none of those wanted. */
static double *sum_of(const struct means *means, const char *kind, double *sum)
{
    int64_t at = kind ? tess_strings_find(&means->kind, kind) : -1;

    return at < 0 ? NULL : sum + at * (means->dim + 1);
}

/* All sums are one place: adding is cheap beside reading. */
static void place(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    const struct means *means = closure;

    (void)part;
    *first = 0;
    *n = (int64_t)means->kind.n * (means->dim + 1);
}

static int is_trained(uint8_t flag)
{
    return flag == TESS_TRAINED || flag == TESS_TRAINED_NEW;
}

/* Of a row of the model. */
static int is_known(const struct means *means, int64_t row)
{
    const struct tess_state *state = &means->warm->state;
    int64_t own = state->vocab[means->table].n;

    return row < own ? is_trained(state->trained[means->table][row]) : means->part[row - own];
}

static void add(const float *row, int dim, double *sum)
{
    for (int d = 0; sum && d < dim; d++)
        sum[d] += (double)row[d];
    if (sum)
        sum[dim] += 1;
}

static int compute(void *closure, int64_t part, double *out, struct tess_error *error)
{
    const struct means *means = closure;
    const struct tess_state *state = &means->warm->state;
    struct tess_state_range block = block_of(state, means->table, part);
    float *row = TESS_NEW(float, block.n * means->dim);

    tess_checkpoint_read_rows(&means->warm->h5, state, means->table, block, row, error);
    for (int64_t i = 0; i < block.n && error->code == TESS_OK; i++)
        if (is_known(means, block.first + i)) {
            struct kinds kinds = kinds_of(state, means->table, block.first + i);

            add(row + i * means->dim, means->dim, sum_of(means, kinds.role, out));
            add(row + i * means->dim, means->dim, sum_of(means, kinds.type, out));
            kinds_release(&kinds);
        }
    tess_free(row);
    return error->code;
}

static void want(struct means *means, const char *kind)
{
    if (kind && means->kind.n < KINDS && tess_strings_find(&means->kind, kind) < 0)
        tess_strings_add(&means->kind, kind);
}

/* Of what is new among the rows of a trainer. Collective. */
static int means_init(struct means *means, const struct tess_warm *warm,
                      const struct tess_state *mine, int table, struct tess_error *error)
{
    const struct tess_mapping *to = &warm->to[table];
    struct tess_parts parts = {warm->comm, blocks_of(&warm->state, table), means, place, compute};

    *means = (struct means){.warm = warm, .table = table, .dim = warm->state.shape.dim};
    means->part =
        tess_composition_parts(&warm->state.composition[table], warm->state.trained[table]);
    for (int types = 0; types < 2; types++) /* roles first: there are few */
        for (int64_t i = 0; i < to->n; i++)
            if (to->to[i] < 0) {
                struct kinds kinds = kinds_of(mine, table, i);

                want(means, types ? kinds.type : kinds.role);
                kinds_release(&kinds);
            }
    means->sum = TESS_NEW(double, means->kind.n *(size_t)(means->dim + 1));
    return tess_parts_sum(&parts, (int64_t)means->kind.n * (means->dim + 1), means->sum, error);
}

static void means_release(struct means *means)
{
    tess_strings_release(&means->kind);
    tess_free(means->part);
    tess_free(means->sum);
}

/* The mean of a new row's kind, by its role if none of its type is known; without any it stays. */
static void put_mean(const struct means *means, const struct tess_state *mine, int64_t new,
                     float *row)
{
    struct kinds kinds = kinds_of(mine, means->table, new);
    const double *sum = sum_of(means, kinds.type, means->sum);

    if (!sum || sum[means->dim] == 0)
        sum = sum_of(means, kinds.role, means->sum);
    for (int d = 0; sum && d < means->dim && sum[means->dim] > 0; d++)
        row[d] = (float)(sum[d] / sum[means->dim]);
    kinds_release(&kinds);
}

/* This rank's rows of a table that the model has: both vocabularies are sorted, so that they come
 * in the order of its file. Local. */
static int take_known(const struct tess_warm *warm, struct tess_shard *shard, int table,
                      struct tess_error *error)
{
    const int64_t *to = warm->to[table].to + shard->first[shard->rank];
    int64_t dim = shard->dim, at = -1;
    float *block = TESS_NEW(float, BLOCK *dim);

    for (int64_t i = 0; i < shard->n_local && error->code == TESS_OK; i++) {
        if (to[i] < 0)
            continue;
        if (to[i] / BLOCK != at) {
            at = to[i] / BLOCK;
            tess_checkpoint_read_rows(&warm->h5, &warm->state, table,
                                      block_of(&warm->state, table, at), block, error);
        }
        if (error->code == TESS_OK)
            memcpy(shard->rows.value + i * dim, block + (to[i] - at * BLOCK) * dim,
                   (size_t)dim * sizeof *block);
    }
    tess_free(block);
    return error->code;
}

/* Random ones are there already, as is what begins at 0. Collective. */
static int take_new(const struct tess_warm *warm, struct tess_trainer *trainer, int table,
                    struct tess_error *error)
{
    const struct tess_state mine = tess_trainer_state(trainer);
    const struct tess_mapping *to = &warm->to[table];
    struct tess_shard *shard = &trainer->shard[table];
    int64_t first = shard->first[shard->rank], new = 0;
    struct means means;

    for (int64_t i = 0; i < to->n; i++)
        new += to->to[i] < 0;
    if (trainer->config.train.init_new != TESS_INIT_NEW_MEAN || new == 0)
        return error->code;
    if (means_init(&means, warm, &mine, table, error) == TESS_OK)
        for (int64_t i = 0; i < shard->n_local; i++)
            if (to->to[first + i] < 0)
                put_mean(&means, &mine, first + i, shard->rows.value + i * shard->dim);
    means_release(&means);
    return error->code;
}

int tess_warm_take(const struct tess_warm *warm, struct tess_trainer *trainer,
                   struct tess_error *error)
{
    struct tess_state into = warm->state;

    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        if (take_new(warm, trainer, t, error) == TESS_OK) {
            take_known(warm, &trainer->shard[t], t, error);
            tess_agree(warm->comm, error);
        }
    into.mlp = (struct tess_mlp_state){.value = trainer->parameter};
    if (error->code == TESS_OK)
        tess_checkpoint_read_mlp(&warm->h5, &into, error);
    return tess_agree(warm->comm, error);
}
