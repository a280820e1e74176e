/* checkpoint_verify.c -- every checksum and invariant of a checkpoint, and all that is wrong. */
#include "tessera/checkpoint.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/share.h"
#include "tessera/text.h"

#include <math.h>
#include <string.h>

#define PIECE_FLOATS ((int64_t)1 << 22)

struct look {
    const struct tess_h5 *h5;
    const struct tess_checkpoint_head *head;
    struct tess_strings *problems;
};

static void complain(struct look *look, const char *what, const char *where, int64_t row)
{
    char *text = tess_format("%s: %s, row %lld: %s", look->h5->path, where, (long long)row, what);

    tess_strings_add(look->problems, text);
    tess_free(text);
}

/* Bad data are problems of the file; anything else ends the look. */
static int take(struct tess_strings *problems, struct tess_error *error)
{
    if (error->code == TESS_EDATA) {
        tess_strings_add(problems, error->text);
        *error = (struct tess_error)TESS_ERROR_INIT;
    }
    return error->code;
}

static void check_row(struct look *look, const char *table, int64_t row,
                      const struct tess_row_state *state, int64_t at)
{
    int64_t dim = look->head->shape.dim;

    if (!tess_checkpoint_finite(state->value + at * dim, dim))
        complain(look, "is not finite", table, row);
    for (int64_t d = at * dim; d < (at + 1) * dim; d++)
        if (isnan(state->m[d]) || !(state->v[d] >= 0)) {
            complain(look, "has moments that cannot be", table, row);
            break;
        }
}

/* This rank's share of a table. */
static int check_table(struct look *look, enum tess_table table, int rank, int n_ranks,
                       struct tess_error *error)
{
    int64_t rows = look->head->vocab[table].n, dim = look->head->shape.dim;
    int64_t first = rows * rank / n_ranks, end = rows * (rank + 1) / n_ranks;
    int64_t step = PIECE_FLOATS / dim < 1 ? 1 : PIECE_FLOATS / dim;
    int64_t room = end - first < step ? end - first : step;
    struct tess_row_state state = {TESS_NEW(float, room *dim), TESS_NEW(float, room *dim),
                                   TESS_NEW(float, room *dim), TESS_NEW(int64_t, room)};

    for (int64_t i = first; i < end && error->code == TESS_OK; i += step) {
        int64_t n = end - i < step ? end - i : step;

        if (tess_checkpoint_read_state(look->h5, look->head, table, i, n, state, error) == TESS_OK)
            for (int64_t k = 0; k < n; k++)
                check_row(look, tess_table_names[table], i + k, &state, k);
        take(look->problems, error);
    }
    tess_free(state.value);
    tess_free(state.m);
    tess_free(state.v);
    tess_free(state.last);
    return error->code;
}

static int check_mlp(struct look *look, const char *part, struct tess_error *error)
{
    int64_t n = tess_shape_size(look->head->shape);
    float *data = TESS_NEW(float, n);

    if (tess_checkpoint_read_mlp(look->h5, look->head, part, data, error) == TESS_OK &&
        !tess_checkpoint_finite(data, n))
        complain(look, "is not finite", "mlp", 0);
    tess_free(data);
    return take(look->problems, error);
}

static int check_scaling(struct look *look, struct tess_error *error)
{
    struct tess_h5_extent extent =
        TESS_H5_MATRIX(look->head->vocab[TESS_TABLE_C].n, look->head->vocab[TESS_TABLE_R].n);
    int64_t n = extent.shape[0] * extent.shape[1];
    float *scale = TESS_NEW(float, n);

    for (int k = 0; k < 2 && tess_h5_kind(look->h5, "normalize/shift"); k++) {
        const char *name = k ? "normalize/scale" : "normalize/shift";

        if (tess_h5_read(look->h5, name, H5T_NATIVE_FLOAT, extent, scale, error) == TESS_OK)
            for (int64_t i = 0; i < n; i++)
                if (!isfinite(scale[i]) || (k == 1 && !(scale[i] > 0))) {
                    complain(look, "is out of range", name, i);
                    break;
                }
        take(look->problems, error);
    }
    tess_free(scale);
    return error->code;
}

/* What the numbers of the head must be to each other. */
static void check_head(struct look *look)
{
    const struct tess_checkpoint_head *head = look->head;
    const struct {
        int wrong;
        const char *what;
    } rule[] = {
        {head->epoch < 0 || head->step_in_epoch < 0 || head->step_in_epoch > head->step,
         "the place in the epoch is impossible"},
        {head->best_step < 0 || head->best_step > head->step || head->best_epoch < 0 ||
             head->best_epoch > head->epoch + 1,
         "the best epoch is impossible"},
        {head->best_epoch > 0 && !(isfinite(head->best_score) && head->best_score >= 0),
         "the best score is impossible"},
        {!(isfinite(head->epoch_loss) && head->epoch_loss >= 0 && head->epoch_measured >= 0),
         "the loss of the epoch is impossible"},
        {head->shape.dim < 1 || head->blas_core[0] == '\0', "its settings are impossible"},
    };

    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++)
        if (rule[i].wrong) {
            char *text = tess_format("%s: %s", look->h5->path, rule[i].what);

            tess_strings_add(look->problems, text);
            tess_free(text);
        }
    for (int64_t t = 1; t <= head->step; t++)
        if (!(isfinite(head->optimizer.rate[t]) && head->optimizer.rate[t] >= 0)) {
            complain(look, "is no learning rate", "schedule/rate", t);
            break;
        }
    for (int t = 0; t < TESS_N_TABLES; t++)
        for (int64_t i = 0; i < head->vocab[t].n; i++)
            if (head->trained[t][i] > 1) {
                complain(look, "is no flag: trained", tess_table_names[t], i);
                break;
            }
}

int tess_checkpoint_verify(const char *path, MPI_Comm comm, struct tess_strings *problems,
                           struct tess_error *error)
{
    static const char *const part[] = {"value", "m", "v"};
    struct tess_checkpoint_head head = {0};
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_strings mine = {0};
    struct look look = {&h5, &head, &mine};
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK)
        tess_checkpoint_read_head(&h5, &head, error);
    if (tess_agree(comm, error) == TESS_OK) {
        if (rank == 0)
            check_head(&look);
        for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
            check_table(&look, t, rank, n_ranks, error);
        for (int k = 0; k < 3 && error->code == TESS_OK; k++)
            if (k % n_ranks == rank)
                check_mlp(&look, part[k], error);
        if (rank == n_ranks - 1 && error->code == TESS_OK)
            check_scaling(&look, error);
    }
    tess_checkpoint_head_release(&head);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    if (tess_agree(comm, error) == TESS_OK)
        tess_share_strings(comm, &mine);
    else if (rank == 0)
        take(&mine, error);
    for (size_t i = 0; rank == 0 && i < mine.n; i++)
        tess_strings_add(problems, mine.item[i]);
    tess_strings_release(&mine);
    MPI_Bcast(error, (int)sizeof *error, MPI_BYTE, 0, comm);
    return error->code;
}
