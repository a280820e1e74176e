/* kept.c -- a copy of the state: all that a checkpoint holds and a step changes, piece behind
 * piece. (Past learning rates stay as they are.) */
#include "tessera/kept.h"

#include "tessera/alloc.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT  ((int64_t)64 << 20) /* bytes of a rank; writing more than that pays */
#define PIECES (4 * TESS_N_TABLES + 5)

struct piece {
    void *at;
    size_t bytes;
};

int64_t tess_kept_decide(const struct tess_trainer *trainer)
{
    int64_t rows[] = {trainer->store.index.perturbation.n, trainer->dataset.readout.n,
                      trainer->store.index.context.n};
    int64_t mlp = tess_shape_size(trainer->shape), limit = LIMIT;
    int64_t bytes = 4 * mlp + 8 * mlp / trainer->n_ranks;
    const char *text = getenv("TESS_KEPT_BYTES");

    for (int t = 0; t < TESS_N_TABLES; t++)
        bytes +=
            (rows[t] + trainer->n_ranks - 1) / trainer->n_ranks * (12 * trainer->shape.dim + 8);
    if (text && !tess_text_int64(text, &limit))
        limit = LIMIT;
    bytes = bytes <= limit ? bytes : 0;
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, trainer->comm); /* the environment may differ */
    return bytes;
}

/* What this rank would write to a checkpoint. Returns the bytes of all. */
static size_t list(struct tess_trainer *trainer, struct piece piece[PIECES])
{
    int64_t slice = trainer->slice[trainer->rank + 1] - trainer->slice[trainer->rank];
    size_t bytes = 0;
    int n = 0;

    for (int t = 0; t < TESS_N_TABLES; t++) {
        struct tess_shard *shard = &trainer->shard[t];
        size_t values = (size_t)(shard->n_local * shard->dim) * sizeof(float);

        piece[n++] = (struct piece){shard->value, values};
        piece[n++] = (struct piece){shard->m, values};
        piece[n++] = (struct piece){shard->v, values};
        piece[n++] = (struct piece){shard->last, (size_t)shard->n_local * sizeof *shard->last};
    }
    piece[n++] = (struct piece){trainer->parameter, (size_t)trainer->n_parameters * sizeof(float)};
    piece[n++] = (struct piece){trainer->m, (size_t)slice * sizeof(float)};
    piece[n++] = (struct piece){trainer->v, (size_t)slice * sizeof(float)};
    piece[n++] = (struct piece){&trainer->optimizer.step, sizeof trainer->optimizer.step};
    piece[n++] = (struct piece){&trainer->progress, sizeof trainer->progress};
    for (int i = 0; i < n; i++)
        bytes += piece[i].bytes;
    return bytes;
}

void tess_kept_take(struct tess_kept *kept, struct tess_trainer *trainer)
{
    struct piece piece[PIECES];
    size_t bytes = list(trainer, piece);
    char *to;

    if (!kept->block)
        kept->block = TESS_NEW(char, (int64_t)bytes);
    to = kept->block;
    for (int i = 0; i < PIECES; to += piece[i++].bytes)
        if (piece[i].bytes > 0)
            memcpy(to, piece[i].at, piece[i].bytes);
    kept->full = 1;
}

static void exchange(char *one, char *other, size_t bytes)
{
    char aside[4096];

    for (size_t i = 0; i < bytes; i += sizeof aside) {
        size_t n = bytes - i < sizeof aside ? bytes - i : sizeof aside;

        memcpy(aside, one + i, n);
        memcpy(one + i, other + i, n);
        memcpy(other + i, aside, n);
    }
}

void tess_kept_exchange(struct tess_kept *kept, struct tess_trainer *trainer)
{
    struct piece piece[PIECES];
    char *with = kept->block;

    list(trainer, piece);
    for (int i = 0; i < PIECES; with += piece[i++].bytes)
        exchange(with, piece[i].at, piece[i].bytes);
}

void tess_kept_release(struct tess_kept *kept)
{
    tess_free(kept->block);
    *kept = (struct tess_kept){0};
}
