/* cell_columns.c -- rows are read in blocks and dealt out by readouts. */
#include "cell_columns.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/slices.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PIECE_VALUES ((int64_t)1 << 20) /* of a block that are sent at a time */

struct entry {
    int64_t place;
    int32_t column; /* of the pass */
    float value;
};

/* One pass: columns [begin, begin + n) of those that are asked for. */
struct pass {
    struct tess_cell_groups *groups;
    int64_t n, first, mine; /* this rank's are [first, first + mine) of the pass */
    int32_t *of_file; /* (readouts of the file) column of the pass, or -1; own */
    int32_t *owner; /* (n) rank; own */
    float *value; /* (mine, n_cells) own */
    struct tess_block block;
    int64_t row, end; /* this rank's share of the file's rows that is left */
    /* entries to each rank and from each */
    int *n_out, *n_in, *at_out, *at_in; /* (n_ranks) own */
    struct entry *out, *in; /* own */
    size_t room_out, room_in;
    MPI_Datatype type;
};

/* ---- reading ---- */

static double total_of(const float *value, int64_t n)
{
    double total = 0;

    for (int64_t i = 0; i < n; i++)
        if (!isnan(value[i]))
            total += (double)value[i];
    return total;
}

/* As `import` does: every cell's total, then log(1 + x). What is scaled are counts: a negative
 * value is an error, as it could make a total near 0 and others as large as can be. So is one
 * without a logarithm. */
static int normalise(const struct tess_cell_groups *groups, struct tess_block *block,
                     struct tess_error *error)
{
    const struct tess_cell_options *options = groups->options;
    int64_t width = groups->source.n_readouts;

    for (int64_t i = 0; i < block->n; i++) {
        int64_t from = block->dense ? i * width : block->indptr[i];
        int64_t n = (block->dense ? from + width : block->indptr[i + 1]) - from;
        float *value = (block->dense ? block->dense : block->data) + from;
        double total = options->normalize_total > 0 ? total_of(value, n) : 0;
        double scale = total > 0 ? options->normalize_total / total : 1;

        if (groups->left_out[block->first + i])
            continue;
        for (int64_t k = 0; k < n; k++) {
            double x = (double)value[k] * scale;
            int is_count = value[k] >= 0 || !(options->normalize_total > 0) || isnan(value[k]);

            if (!is_count || (options->log1p && x <= -1))
                return tess_error_set(
                    error, TESS_EDATA, "%s: row %" PRId64 ", readout '%s': %g %s", options->path,
                    tess_source_place(&groups->source, block->first + i),
                    groups->source.readout.item[block->dense ? k : block->index[from + k]],
                    is_count ? x : (double)value[k],
                    is_count ? "has no log1p" : "is no count (--normalize-total)");
            value[k] = (float)(options->log1p ? log1p(x) : x);
        }
    }
    return TESS_OK;
}

/* The next rows of this rank's share of which one counts: how many, 0 if there are no more. */
static int64_t read_next(struct pass *pass, struct tess_error *error)
{
    struct tess_cell_groups *groups = pass->groups;
    int64_t first = pass->row, n;

    while (first < pass->end && groups->left_out[first])
        first++;
    n = pass->end - first < groups->source.rows_at_once ? pass->end - first
                                                        : groups->source.rows_at_once;
    pass->row = first + n;
    if (n > 0 && tess_source_read_rows(&groups->source, first, n, &pass->block, &groups->problems,
                                       error) == TESS_OK) {
        if (groups->problems.n > 0)
            tess_error_set(error, TESS_EDATA, "%s", groups->problems.text.item[0]);
        else
            normalise(groups, &pass->block, error);
    }
    return n;
}

/* ---- sending ---- */

/* The values of row i of the block that the pass asks for; with `entry` NULL they are counted. What
 * a place holds from the beginning needs no entry. */
static void pack_row(const struct pass *pass, int64_t i, int *count, struct entry *entry)
{
    const struct tess_block *block = &pass->block;
    int64_t width = pass->groups->source.n_readouts;
    int64_t place = pass->groups->place[block->first + i];
    int64_t from = block->dense ? i * width : block->indptr[i];
    int64_t n = (block->dense ? from + width : block->indptr[i + 1]) - from;
    const float *value = (block->dense ? block->dense : block->data) + from;
    int sends_zeros = pass->groups->source.ragged;

    for (int64_t k = 0; k < n && place >= 0; k++) {
        int32_t column = pass->of_file[block->dense ? k : block->index[from + k]];

        if (column < 0 || (value[k] == 0 && !sends_zeros))
            continue;
        if (entry)
            entry[count[pass->owner[column]]] = (struct entry){place, column, value[k]};
        count[pass->owner[column]]++;
    }
}

static int64_t places_of(const int *count, int n, int *at)
{
    int64_t total = 0;

    for (int r = 0; r < n; r++) {
        at[r] = tess_int(total);
        total += count[r];
    }
    return total;
}

/* Rows [from, to) of the block to those whose columns they are. Collective. */
static void exchange(struct pass *pass, int64_t from, int64_t to)
{
    struct tess_cell_groups *groups = pass->groups;
    int n_ranks = groups->n_ranks, *next = TESS_NEW(int, n_ranks);
    int64_t n_in, n_out;

    memset(pass->n_out, 0, (size_t)n_ranks * sizeof(int));
    for (int64_t i = from; i < to; i++)
        pack_row(pass, i, pass->n_out, NULL);
    n_out = places_of(pass->n_out, n_ranks, pass->at_out);
    pass->out = tess_grow(pass->out, &pass->room_out, (size_t)n_out + 1, sizeof *pass->out);
    memcpy(next, pass->at_out, (size_t)n_ranks * sizeof(int));
    for (int64_t i = from; i < to; i++)
        pack_row(pass, i, next, pass->out);
    MPI_Alltoall(pass->n_out, 1, MPI_INT, pass->n_in, 1, MPI_INT, groups->comm);
    n_in = places_of(pass->n_in, n_ranks, pass->at_in);
    pass->in = tess_grow(pass->in, &pass->room_in, (size_t)n_in + 1, sizeof *pass->in);
    MPI_Alltoallv(pass->out, pass->n_out, pass->at_out, pass->type, pass->in, pass->n_in,
                  pass->at_in, pass->type, groups->comm);
    for (int64_t k = 0; k < n_in; k++)
        pass->value[(pass->in[k].column - pass->first) * groups->n_cells + pass->in[k].place] =
            pass->in[k].value;
    tess_free(next);
}

/* Blocks, as long as any rank has one. Collective; the same code everywhere. */
static int deal(struct pass *pass, struct tess_error *error)
{
    struct tess_cell_groups *groups = pass->groups;
    int64_t width = groups->source.n_readouts > 0 ? groups->source.n_readouts : 1;
    int64_t rows = PIECE_VALUES / width > 0 ? PIECE_VALUES / width : 1;

    for (;;) {
        int64_t n = read_next(pass, error), pieces = (n + rows - 1) / rows, most;

        if (tess_agree(groups->comm, error) != TESS_OK)
            return error->code;
        MPI_Allreduce(&pieces, &most, 1, MPI_INT64_T, MPI_MAX, groups->comm);
        if (most == 0)
            return TESS_OK;
        for (int64_t p = 0; p < most; p++) {
            int64_t from = p * rows < n ? p * rows : n;

            exchange(pass, from, from + rows < n ? from + rows : n);
        }
    }
}

/* ---- a pass ---- */

/* Rows from the first of this rank's share of the cells up to the first of the next rank's. */
static void share_rows(struct pass *pass)
{
    const struct tess_cell_groups *groups = pass->groups;
    int64_t begin = tess_slice_first(groups->n_cells, groups->rank, groups->n_ranks);
    int64_t end = tess_slice_first(groups->n_cells, groups->rank + 1, groups->n_ranks), seen = 0;

    pass->row = pass->end = 0;
    for (int64_t row = 0; row < groups->source.n_rows; row++) {
        if (groups->left_out[row])
            continue;
        if (seen == begin)
            pass->row = row;
        if (++seen == end)
            pass->end = row + 1;
    }
    if (begin == end)
        pass->row = pass->end = 0;
}

static void share_columns(struct pass *pass, int64_t n, const int64_t *readout)
{
    const struct tess_cell_groups *groups = pass->groups;

    pass->n = n;
    pass->first = tess_slice_first(n, groups->rank, groups->n_ranks);
    pass->mine = tess_slice_first(n, groups->rank + 1, groups->n_ranks) - pass->first;
    for (int64_t c = 0; c < groups->source.n_readouts; c++)
        pass->of_file[c] = -1;
    for (int64_t k = 0; k < n; k++)
        pass->of_file[groups->column[readout[k]]] = (int32_t)k;
    for (int r = 0; r < groups->n_ranks; r++)
        for (int64_t k = tess_slice_first(n, r, groups->n_ranks);
             k < tess_slice_first(n, r + 1, groups->n_ranks); k++)
            pass->owner[k] = r;
}

static void clear(struct pass *pass)
{
    int64_t n = pass->mine * pass->groups->n_cells;

    for (int64_t k = 0; k < n; k++)
        pass->value[k] = pass->groups->source.ragged ? NAN : 0;
}

/* Columns of a rank in a pass: as many as the memory holds, one at least. */
static int64_t columns_at_once(const struct tess_cell_groups *groups, int64_t n)
{
    double fit = groups->options->memory / ((double)groups->n_cells * sizeof(float));
    int64_t all = (n + groups->n_ranks - 1) / groups->n_ranks;

    return fit >= (double)all ? (all > 0 ? all : 1) : fit >= 1 ? (int64_t)fit : 1;
}

/* Codes and kinds of cells, rank 0's, are gone before there are values. */
static void say(const struct tess_cell_groups *groups, int64_t n, int64_t width, double beside)
{
    double rows = (double)groups->source.n_rows, labels = rows * 16;
    double block = (double)groups->source.rows_at_once * (double)groups->source.n_readouts * 8;
    double room = (double)width * (double)groups->n_cells * sizeof(float);
    double sent = 2.0 * (double)PIECE_VALUES * sizeof(struct entry);
    double values = room + block + sent + beside;
    int64_t wide = width * groups->n_ranks, passes = (n + wide - 1) / wide;

    tess_info("%s: values of %" PRId64 " readouts, read %" PRId64 " time%s; up to %.1f MB a rank",
              groups->options->path, n, passes, passes == 1 ? "" : "s",
              (fmax(values, labels) + rows * 9) / 1e6);
}

static int start(struct pass *pass, int64_t width, struct tess_error *error)
{
    const struct tess_cell_groups *groups = pass->groups;

    pass->of_file = TESS_NEW(int32_t, groups->source.n_readouts);
    pass->owner = TESS_NEW(int32_t, width * groups->n_ranks);
    pass->n_out = TESS_NEW(int, groups->n_ranks);
    pass->n_in = TESS_NEW(int, groups->n_ranks);
    pass->at_out = TESS_NEW(int, groups->n_ranks);
    pass->at_in = TESS_NEW(int, groups->n_ranks);
    MPI_Type_contiguous((int)sizeof(struct entry), MPI_BYTE, &pass->type);
    MPI_Type_commit(&pass->type);
    pass->value = tess_alloc_large((size_t)(width * groups->n_cells), sizeof(float),
                                   "values of readouts (--memory)", error);
    return tess_agree(groups->comm, error);
}

static void finish(struct pass *pass)
{
    MPI_Type_free(&pass->type);
    tess_block_release(&pass->block);
    tess_free(pass->of_file);
    tess_free(pass->owner);
    tess_free(pass->n_out);
    tess_free(pass->n_in);
    tess_free(pass->at_out);
    tess_free(pass->at_in);
    tess_free(pass->value);
    tess_free(pass->out);
    tess_free(pass->in);
}

int tess_cell_columns_visit(struct tess_cell_groups *groups, int64_t n, const int64_t *readout,
                            const struct tess_cell_visitor *visitor, struct tess_error *error)
{
    struct pass pass = {.groups = groups};
    int64_t width = columns_at_once(groups, n), step = width * groups->n_ranks;
    struct tess_progress progress;

    say(groups, n, width, visitor->bytes);
    tess_progress_init(&progress, "comparing cells", "readouts", n);
    start(&pass, width, error);
    for (int64_t begin = 0; begin < n && error->code == TESS_OK; begin += step) {
        share_columns(&pass, n - begin < step ? n - begin : step, readout + begin);
        share_rows(&pass);
        clear(&pass);
        deal(&pass, error);
        for (int64_t k = 0; k < pass.mine && error->code == TESS_OK; k++)
            visitor->take(visitor->closure, begin + pass.first + k,
                          pass.value + k * groups->n_cells);
        tess_progress_show(&progress, begin + pass.n);
    }
    tess_progress_release(&progress);
    finish(&pass);
    return error->code;
}
