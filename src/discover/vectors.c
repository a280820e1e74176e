/* vectors.c -- rows are read as they are asked for: a table of any size is never in memory. */
#include "vectors.h"

#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"

#include <cblas.h>
#include <string.h>

#define TILE TESS_VECTORS_TILE

struct tess_vectors_member {
    struct tess_h5 h5; /* own */
    struct tess_state state; /* own */
    enum tess_embedding table;
    const float *matrix; /* (width, dim) of the model; NULL: the row itself */
    int64_t begin, width;
};

/* The table's block of the first layer, if it has one. */
static const float *matrix_of(const struct tess_network *network, enum tess_embedding table)
{
    const struct tess_shape *shape = &network->shape;
    const float *const block[] = {network->mlp.wp, network->mlp.wr, network->mlp.wc};
    int is_left = shape->kind == TESS_KIND_MLP || table == TESS_TABLE_P ||
                  (table == TESS_TABLE_C && shape->right != TESS_TABLE_C);

    return is_left ? block[table] : NULL;
}

/* Of the head all but the symbols is needed. */
static int open_member(struct tess_vectors_member *member, const struct tess_model *model,
                       struct tess_error *error)
{
    tess_h5_guard_start(model->path);
    if (tess_h5_open(&member->h5, model->path, MPI_COMM_NULL, 0, error) == TESS_OK)
        tess_checkpoint_read_head(&member->h5, &member->state, error);
    tess_h5_guard_finish();
    for (int t = 0; t < TESS_N_TABLES; t++) {
        struct tess_vocab *vocab = &member->state.vocab[t];
        int64_t n = vocab->n;

        tess_vocab_release(vocab);
        vocab->n = n;
    }
    return error->code;
}

int tess_vectors_open(struct tess_vectors *vectors, const struct tess_model *model,
                      enum tess_embedding table, int effective, struct tess_error *error)
{
    const int64_t n[] = {model->perturbation.n, model->readout.n, model->context.n};
    struct tess_vectors_member *member;

    *vectors = (struct tess_vectors){.n = n[table]};
    vectors->member = member = TESS_NEW(struct tess_vectors_member, model->n_members);
    for (; model && error->code == TESS_OK; model = model->next, member++) {
        struct tess_shape shape = model->network.shape;

        member->h5 = (struct tess_h5)TESS_H5_INIT;
        member->table = table;
        member->matrix = effective ? matrix_of(&model->network, table) : NULL;
        member->begin = vectors->width;
        member->width = member->matrix ? tess_shape_width(shape) : shape.dim;
        vectors->width += member->width;
        vectors->n_members++;
        open_member(member, model, error);
    }
    return error->code;
}

int64_t tess_vectors_begin(const struct tess_vectors *vectors, int m)
{
    return m < vectors->n_members ? vectors->member[m].begin : vectors->width;
}

/* A tile of TILE rows, zeroes past the end: one shape, so that a row's bits follow from its place
 * in the tile, which follows from its number. */
static void project(const struct tess_vectors_member *member, const float *row, float *out)
{
    int width = tess_int(member->width), dim = member->state.shape.dim;

    if (member->matrix)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, TILE, width, dim, 1, row, dim,
                    member->matrix, dim, 0, out, width);
    else
        memcpy(out, row, (size_t)(TILE * width) * sizeof *out);
}

/* Those rows of the tile that begins at row t which lie in the range. */
static void take_tile(const struct tess_vectors *vectors, const struct tess_vectors_member *member,
                      struct tess_state_range range, int64_t t, const float *tile, float *out)
{
    int64_t begin = t > range.first ? t : range.first, end = range.first + range.n;

    end = t + TILE < end ? t + TILE : end;
    for (int64_t i = begin; i < end; i++)
        memcpy(out + (i - range.first) * vectors->width + member->begin,
               tile + (i - t) * member->width, (size_t)member->width * sizeof *out);
}

static int make_member(const struct tess_vectors *vectors, const struct tess_vectors_member *member,
                       struct tess_state_range range, float *out, struct tess_error *error)
{
    int64_t begin = range.first / TILE * TILE, end = range.first + range.n;
    int64_t last = (end + TILE - 1) / TILE * TILE, dim = member->state.shape.dim;
    struct tess_state_range whole = {begin, (last < vectors->n ? last : vectors->n) - begin};
    float *tile = TESS_NEW(float, TILE * member->width), *row;

    row = tess_alloc_large((size_t)((last - begin) * dim), sizeof *row, "rows of a table", error);
    if (row && tess_checkpoint_read_vectors(&member->h5, &member->state, member->table, whole, row,
                                            error) == TESS_OK)
        for (int64_t t = begin; t < end; t += TILE) {
            project(member, row + (t - begin) * dim, tile);
            take_tile(vectors, member, range, t, tile, out);
        }
    tess_free(row);
    tess_free(tile);
    return error->code;
}

int tess_vectors_make(const struct tess_vectors *vectors, int64_t first, int64_t n, float *out,
                      struct tess_error *error)
{
    TESS_BUG_IF(first < 0 || n < 0 || first > vectors->n - n);
    for (int m = 0; m < vectors->n_members && n > 0 && error->code == TESS_OK; m++)
        make_member(vectors, &vectors->member[m], (struct tess_state_range){first, n}, out, error);
    return error->code;
}

void tess_vectors_release(struct tess_vectors *vectors)
{
    struct tess_error ignored = TESS_ERROR_INIT;

    for (int m = 0; m < vectors->n_members; m++) {
        tess_h5_close(&vectors->member[m].h5, &ignored);
        tess_state_release(&vectors->member[m].state);
    }
    tess_free(vectors->member);
    *vectors = (struct tess_vectors){.n = 0};
}
