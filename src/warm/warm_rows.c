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

/* Means of rows that the model was trained on: of a whole table, which is kind 0, and of the kinds
 * of perturbation that are new. */
struct means {
    const struct tess_warm *warm; /* borrowed */
    int table, dim;
    struct tess_strings kind; /* [0]: all; own */
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

/* The kind of a symbol (target.h), or 0. */
static int64_t kind_of(const struct means *means, const char *symbol)
{
    char *type = means->table == TESS_TABLE_P ? tess_target_type(symbol) : tess_strdup("");
    int64_t kind = tess_strings_find(&means->kind, type);

    tess_free(type);
    return kind > 0 ? kind : 0;
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

static void add(const float *row, int dim, double *sum)
{
    for (int d = 0; d < dim; d++)
        sum[d] += (double)row[d];
    sum[dim] += 1;
}

static int compute(void *closure, int64_t part, double *out, struct tess_error *error)
{
    const struct means *means = closure;
    const struct tess_state *state = &means->warm->state;
    struct tess_state_range block = block_of(state, means->table, part);
    float *row = TESS_NEW(float, block.n * means->dim);

    tess_checkpoint_read_rows(&means->warm->h5, state, means->table, block, row, error);
    for (int64_t i = 0; i < block.n && error->code == TESS_OK; i++) {
        int64_t at = block.first + i, kind;

        if (at >= state->vocab[means->table].n || !is_trained(state->trained[means->table][at]))
            continue;
        kind = kind_of(means, state->vocab[means->table].symbol[at]);
        add(row + i * means->dim, means->dim, out);
        if (kind > 0)
            add(row + i * means->dim, means->dim, out + kind * (means->dim + 1));
    }
    tess_free(row);
    return error->code;
}

/* Collective. */
static int means_init(struct means *means, const struct tess_warm *warm,
                      const struct tess_vocab *vocab, int table, struct tess_error *error)
{
    const struct tess_mapping *to = &warm->to[table];
    struct tess_parts parts = {warm->comm, blocks_of(&warm->state, table), means, place, compute};

    *means = (struct means){.warm = warm, .table = table, .dim = warm->state.shape.dim};
    tess_strings_add(&means->kind, "");
    for (int64_t i = 0; i < vocab->n && table == TESS_TABLE_P && means->kind.n <= KINDS; i++) {
        char *type = to->to[i] < 0 ? tess_target_type(vocab->symbol[i]) : NULL;

        if (type && tess_strings_find(&means->kind, type) < 0)
            tess_strings_add(&means->kind, type);
        tess_free(type);
    }
    means->sum = TESS_NEW(double, means->kind.n *(size_t)(means->dim + 1));
    return tess_parts_sum(&parts, (int64_t)means->kind.n * (means->dim + 1), means->sum, error);
}

static void means_release(struct means *means)
{
    tess_strings_release(&means->kind);
    tess_free(means->sum);
}

/* The mean of a symbol's kind, of all if none of its kind is known. */
static void put_mean(const struct means *means, const char *symbol, float *row)
{
    const double *sum = means->sum + kind_of(means, symbol) * (means->dim + 1);

    if (sum[means->dim] == 0)
        sum = means->sum;
    for (int d = 0; d < means->dim && sum[means->dim] > 0; d++)
        row[d] = (float)(sum[d] / sum[means->dim]);
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

/* Random ones are there already, and parts of compositions begin as they always do. Collective. */
static int take_new(const struct tess_warm *warm, struct tess_trainer *trainer, int table,
                    struct tess_error *error)
{
    const struct tess_state mine = tess_trainer_state(trainer);
    struct tess_shard *shard = &trainer->shard[table];
    int64_t first = shard->first[shard->rank], n = warm->n_symbols[table] - first;
    struct means means;

    if (trainer->config.train.init_new != TESS_INIT_NEW_MEAN || warm->n_known[table] == n + first)
        return error->code;
    if (means_init(&means, warm, &mine.vocab[table], table, error) == TESS_OK)
        for (int64_t i = 0; i < shard->n_local && i < n; i++)
            if (warm->to[table].to[first + i] < 0)
                put_mean(&means, mine.vocab[table].symbol[first + i],
                         shard->rows.value + i * shard->dim);
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
