/* query_merge.c -- rows that are asked for again in other lines, together: a list that is sorted by
 * readout asks for each row many times, and each would be computed anew. */
#include "query.h"

#include "tessera/alloc.h"

#include <string.h>

static size_t members_of(const struct tess_query_block *block, int64_t row)
{
    return (size_t)(block->member_first[row + 1] - block->member_first[row]);
}

static int same_row(const struct tess_query_block *block, int64_t a, int64_t b)
{
    size_t n = members_of(block, a);

    return block->context[a] == block->context[b] && n == members_of(block, b) &&
           memcmp(block->member + block->member_first[a], block->member + block->member_first[b],
                  n * sizeof *block->member) == 0;
}

static uint64_t hash_of(const struct tess_query_block *block, int64_t row)
{
    uint64_t hash = (uint64_t)block->context[row];

    for (int64_t k = block->member_first[row]; k < block->member_first[row + 1]; k++)
        hash = (hash ^ (uint64_t)block->member[k]) * 0x9E3779B97F4A7C15U;
    return hash * 0x9E3779B97F4A7C15U >> 20;
}

/* number[i]: of row i among the distinct ones, which are first[0 .. return). */
static int64_t number_rows(const struct tess_query_block *block, int64_t *number, int64_t *first)
{
    int64_t size = 1, n = 0, *slot;

    while (size < 2 * block->n_rows)
        size *= 2;
    slot = TESS_NEW(int64_t, size); /* number + 1; 0: empty */
    for (int64_t i = 0; i < block->n_rows; i++) {
        uint64_t at = hash_of(block, i) & (uint64_t)(size - 1);

        while (slot[at] && !same_row(block, i, first[slot[at] - 1]))
            at = (at + 1) & (uint64_t)(size - 1);
        if (!slot[at]) {
            first[n++] = i;
            slot[at] = n;
        }
        number[i] = slot[at] - 1;
    }
    tess_free(slot);
    return n;
}

/* The distinct rows, and room for the readouts that each is asked for. */
static void begin_rows(const struct tess_query_block *block, const int64_t *number,
                       const int64_t *first, struct tess_query_block *out)
{
    out->member_first = TESS_NEW(int64_t, out->n_rows + 1);
    out->member = TESS_NEW(int64_t, block->member_first[block->n_rows]);
    out->context = TESS_NEW(int64_t, out->n_rows);
    out->readout_first = TESS_NEW(int64_t, out->n_rows + 1);
    out->readout = TESS_NEW(int64_t, block->readout_first[block->n_rows]);
    for (int64_t i = 0; i < out->n_rows; i++) {
        size_t n = members_of(block, first[i]);

        memcpy(out->member + out->member_first[i], block->member + block->member_first[first[i]],
               n * sizeof *out->member);
        out->member_first[i + 1] = out->member_first[i] + (int64_t)n;
        out->context[i] = block->context[first[i]];
    }
    for (int64_t i = 0; i < block->n_rows; i++)
        out->readout_first[number[i] + 1] += block->readout_first[i + 1] - block->readout_first[i];
    for (int64_t i = 0; i < out->n_rows; i++)
        out->readout_first[i + 1] += out->readout_first[i];
}

int64_t *tess_query_block_merge(const struct tess_query_block *block, struct tess_query_block *out)
{
    int64_t *number = TESS_NEW(int64_t, block->n_rows), *first = TESS_NEW(int64_t, block->n_rows);
    int64_t *next, *place = NULL;

    *out = (struct tess_query_block){.n_rows = number_rows(block, number, first)};
    if (out->n_rows < block->n_rows) {
        begin_rows(block, number, first, out);
        next = TESS_NEW(int64_t, out->n_rows);
        memcpy(next, out->readout_first, (size_t)out->n_rows * sizeof *next);
        place = TESS_NEW(int64_t, block->readout_first[block->n_rows]);
        for (int64_t i = 0; i < block->n_rows; i++)
            for (int64_t k = block->readout_first[i]; k < block->readout_first[i + 1]; k++) {
                place[k] = next[number[i]]++;
                out->readout[place[k]] = block->readout[k];
            }
        tess_free(next);
    }
    tess_free(number);
    tess_free(first);
    return place;
}
