/* checkpoint_vectors.c -- vectors of a table's symbols, out of the rows that they are made of. */
#include "tessera/checkpoint.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/encoder.h"
#include "tessera/error.h"

#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

struct list { /* of rows, ascending */
    int64_t n, *row;
};

/* The distinct ones of n numbers, sorted, in place: how many. */
static int64_t distinct(int64_t n, int64_t *number)
{
    int64_t kept = 0;

    qsort(number, (size_t)n, sizeof *number, ascending);
    for (int64_t k = 0; k < n; k++)
        if (kept == 0 || number[k] != number[kept - 1])
            number[kept++] = number[k];
    return kept;
}

/* n rows by sorted numbers, neighbours at once. */
static int read_scattered(const struct tess_h5 *h5, const struct tess_state *state,
                          enum tess_embedding table, const struct list *list, float *out,
                          struct tess_error *error)
{
    for (int64_t i = 0, end; i < list->n && error->code == TESS_OK; i = end) {
        struct tess_state_range part = {list->row[i], 0};

        for (end = i + 1; end < list->n && list->row[end] == list->row[end - 1] + 1;)
            end++;
        part.n = end - i;
        tess_checkpoint_read_rows(h5, state, table, part, out + i * state->shape.dim, error);
    }
    return error->code;
}

static int compose(const struct tess_h5 *h5, const struct tess_state *state,
                   enum tess_embedding table, struct tess_state_range part, float *out,
                   struct tess_error *error)
{
    const struct tess_encoder plain = {.dim = state->shape.dim, .rule = TESS_COMBINE_SUM};
    struct tess_mix mix = {.n = 0};
    struct tess_perturbations made;
    struct list rows;
    float *value;
    int64_t n;

    for (int64_t i = part.first; i < part.first + part.n; i++)
        tess_mix_add(&mix, &state->composition[table], &plain, 1, &i);
    n = mix.first[part.n];
    rows = (struct list){n, TESS_NEW(int64_t, n)};
    memcpy(rows.row, mix.row, (size_t)n * sizeof *rows.row);
    rows.n = distinct(n, rows.row);
    value = tess_alloc_large((size_t)(rows.n * plain.dim), sizeof *value, "rows of a table", error);
    if (value && read_scattered(h5, state, table, &rows, value, error) == TESS_OK) {
        for (int64_t k = 0; k < n; k++)
            mix.row[k] = (const int64_t *)bsearch(&mix.row[k], rows.row, (size_t)rows.n,
                                                  sizeof *rows.row, ascending) -
                         rows.row;
        made = tess_mix_of(&mix);
        tess_encoder_forward(&plain, &made, value, out);
    }
    tess_mix_release(&mix);
    tess_free(rows.row);
    tess_free(value);
    return error->code;
}

int tess_checkpoint_read_vectors(const struct tess_h5 *h5, const struct tess_state *state,
                                 enum tess_embedding table, struct tess_state_range part,
                                 float *out, struct tess_error *error)
{
    return state->composition[table].first && part.n > 0
               ? compose(h5, state, table, part, out, error)
               : tess_checkpoint_read_rows(h5, state, table, part, out, error);
}
