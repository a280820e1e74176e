/* statistics.c -- chunks of experiments dealt to ranks, and their sums put together in order. */
#include "statistics.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/slices.h"
#include "tessera/vectorised.h"

#include <math.h>
#include <string.h>

/* A chunk: a block of the store's checksums, which is read whole, or so many experiments that its
 * sums are small beside its values. */
#define CHUNK_VALUES      ((int64_t)1 << 20)
#define CHUNK_EXPERIMENTS 64
#define TURN_SUMS         ((int64_t)1 << 16) /* that a rank makes before they are sent */
#define LANES             8 /* partial sums of a piece */

void tess_moments_add(struct tess_moments *a, struct tess_moments b)
{
    double n = a->n + b.n, delta = b.mean - a->mean;

    if (b.n > 0) {
        a->mean += delta * (b.n / n);
        a->square += b.square + delta * delta * (a->n * b.n / n);
        a->n = n;
    }
}

double tess_moments_deviation(struct tess_moments m)
{
    return m.n > 1 ? sqrt(m.square / (m.n - 1)) : 0;
}

/* Chunks: experiments [first[i], first[i + 1]) of one context. */
struct chunks {
    int64_t n, *first; /* (n + 1) own */
};

static int64_t end_of_chunk(const struct tess_index *index, int64_t first)
{
    int64_t wide = CHUNK_VALUES / CHUNK_EXPERIMENTS, end = first;
    int64_t most = index->readout.n > wide ? CHUNK_EXPERIMENTS : CHUNK_VALUES / index->readout.n;

    while (end < index->n_experiments && end < first + most &&
           index->context_of[end] == index->context_of[first])
        end++;
    return end;
}

static void cut_chunks(struct chunks *chunks, const struct tess_index *index)
{
    *chunks = (struct chunks){.n = 0};
    for (int64_t e = 0; e < index->n_experiments; e = end_of_chunk(index, e))
        chunks->n++;
    chunks->first = TESS_NEW(int64_t, chunks->n + 1);
    for (int64_t i = 0; i < chunks->n; i++)
        chunks->first[i + 1] = end_of_chunk(index, chunks->first[i]);
}

/* Sums of the chunk at hand: (n_columns, sets). */
struct sums {
    const struct tess_index *index;
    struct tess_moments *sum;
    int sets;
};

/* Welford (1962): without the cancellation of Σ x² - n mean². */
static void add_value(struct tess_moments *m, double value)
{
    double delta = value - m->mean;

    m->mean += delta / ++m->n;
    m->square += delta * (value - m->mean);
}

static void take_readouts(void *closure, int64_t experiment, int64_t column, int64_t n,
                          const float *value)
{
    struct sums *s = closure;
    const struct tess_index *index = s->index;
    const int64_t *readout =
        index->panel_readout + index->panel_first[index->panel[experiment]] + column;
    int is_control = tess_index_is_control(index, index->combination[experiment]);

    for (int64_t k = 0; k < n; k++) {
        struct tess_moments *sum = s->sum + readout[k] * s->sets;

        if (isnan(value[k]))
            continue;
        add_value(&sum[0], (double)value[k]);
        if (s->sets > 1 && is_control)
            add_value(&sum[1], (double)value[k]);
    }
}

/* Σ x and the number of x, or Σ (x - mean)², without NaN: in lanes, and these in their order, so
 * that the bits are those of every width of a register. */
VECTORISED static void add_up(int64_t n, const float *restrict value, double mean, double *count,
                              double sum[2])
{
    double lane[LANES] = {0}, square[LANES] = {0}, there[LANES] = {0};
    int64_t k = 0;

    for (; k + LANES <= n; k += LANES)
        for (int i = 0; i < LANES; i++) {
            double x = (double)value[k + i] - mean, is = x == x ? 1.0 : 0.0;

            x = x == x ? x : 0.0;
            there[i] += is;
            lane[i] += x;
            square[i] += x * x;
        }
    for (; k < n; k++)
        if (value[k] == value[k]) {
            double x = (double)value[k] - mean;

            there[k % LANES] += 1.0;
            lane[k % LANES] += x;
            square[k % LANES] += x * x;
        }
    *count = sum[0] = sum[1] = 0;
    for (int i = 0; i < LANES; i++) {
        *count += there[i];
        sum[0] += lane[i];
        sum[1] += square[i];
    }
}

/* Two passes over a piece that lies in the cache: the mean, then what is about it. */
static void take_all(void *closure, int64_t experiment, int64_t column, int64_t n,
                     const float *value)
{
    struct sums *s = closure;
    struct tess_moments piece;
    double sum[2];

    (void)experiment;
    (void)column;
    add_up(n, value, 0, &piece.n, sum);
    if (piece.n > 0) {
        piece.mean = sum[0] / piece.n;
        add_up(n, value, piece.mean, &piece.n, sum);
        piece.square = sum[1];
        tess_moments_add(s->sum, piece);
    }
}

/* Some chunks a rank between two exchanges. */
struct turns {
    int n_ranks, rank;
    int64_t n_chunks; /* of a rank's turn */
    struct tess_moments *out, *in; /* (n_columns, chunks, sets); (n_ranks, n, chunks, sets) */
};

/* This rank's chunks of a turn; those beyond the last one are empty. Local. */
static void make_sums(const struct tess_statistics *s, const struct tess_store *store,
                      const struct chunks *chunks, const struct turns *turns, int64_t first,
                      struct tess_error *error)
{
    int64_t columns = s->n_columns * s->sets;
    struct sums sums = {&store->index, TESS_NEW(struct tess_moments, columns), s->sets};
    struct tess_store_visitor visitor = {
        &sums, s->n_columns == store->index.readout.n ? take_readouts : take_all};

    for (int64_t c = 0; c < turns->n_chunks; c++) {
        int64_t i = first + turns->rank * turns->n_chunks + c;

        memset(sums.sum, 0, (size_t)columns * sizeof *sums.sum);
        if (i < chunks->n && error->code == TESS_OK)
            tess_store_scan(store, chunks->first[i], chunks->first[i + 1], TESS_TRAIN, &visitor,
                            error);
        for (int64_t k = 0; k < s->n_columns; k++)
            memcpy(turns->out + (k * turns->n_chunks + c) * s->sets, sums.sum + k * s->sets,
                   (size_t)s->sets * sizeof *sums.sum);
    }
    tess_free(sums.sum);
}

/* What came of the turn, in the order of the chunks, to this rank's columns. Local. */
static void add_sums(struct tess_statistics *s, const struct tess_index *index,
                     const struct chunks *chunks, const struct turns *turns, int64_t first)
{
    for (int64_t i = first; i < chunks->n && i < first + turns->n_ranks * turns->n_chunks; i++) {
        int64_t rank = (i - first) / turns->n_chunks, c = (i - first) % turns->n_chunks;
        int64_t context = index->context_of[chunks->first[i]];

        for (int64_t k = 0; k < s->n; k++)
            for (int set = 0; set < s->sets; set++)
                tess_moments_add(
                    &s->cell[(context * s->n + k) * s->sets + set],
                    turns->in[((rank * s->n + k) * turns->n_chunks + c) * s->sets + set]);
    }
}

/* A rank that cannot read goes on with empty sums. Collective. */
static int take_turns(struct tess_statistics *s, const struct tess_store *store,
                      const struct chunks *chunks, struct turns *turns, struct tess_error *error)
{
    int64_t together = turns->n_ranks * turns->n_chunks, width = turns->n_chunks * s->sets;
    size_t n[] = {(size_t)(s->n_columns * width), (size_t)(turns->n_ranks * s->n * width)};

    turns->out = tess_alloc_large(n[0], sizeof *turns->out, "training statistics", error);
    turns->in = tess_alloc_large(n[1], sizeof *turns->in, "training statistics", error);
    s->cell = tess_alloc_large((size_t)(s->n_contexts * s->n * s->sets), sizeof *s->cell,
                               "training statistics", error);
    s->bytes = (double)sizeof *s->cell * ((double)(n[0] + n[1]) + (double)s->n_columns * s->sets +
                                          (double)s->n_contexts * (double)s->n * s->sets);
    if (tess_agree(s->comm, error) != TESS_OK)
        return error->code;
    for (int64_t first = 0; first < chunks->n; first += together) {
        make_sums(s, store, chunks, turns, first, error);
        tess_slices_exchange(s->comm, s->n_columns, 3 * width, &turns->out->n, &turns->in->n);
        add_sums(s, &store->index, chunks, turns, first);
    }
    return tess_agree(s->comm, error);
}

int tess_statistics_gather(struct tess_statistics *s, const struct tess_store *store,
                           enum tess_detail detail, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    struct turns turns = {.rank = 0};
    struct chunks chunks;
    int64_t share;

    MPI_Comm_rank(comm, &turns.rank);
    MPI_Comm_size(comm, &turns.n_ranks);
    *s = (struct tess_statistics){.comm = comm,
                                  .sets = detail == TESS_OF_CONTROLS ? 2 : 1,
                                  .n_contexts = index->context.n,
                                  .n_columns = detail == TESS_OF_ALL ? 1 : index->readout.n};
    s->first = tess_slice_first(s->n_columns, turns.rank, turns.n_ranks);
    s->n = tess_slice_first(s->n_columns, turns.rank + 1, turns.n_ranks) - s->first;
    cut_chunks(&chunks, index);
    share = (chunks.n + turns.n_ranks - 1) / turns.n_ranks;
    turns.n_chunks = TURN_SUMS / s->n_columns < share ? TURN_SUMS / s->n_columns : share;
    turns.n_chunks = turns.n_chunks < 1 ? 1 : turns.n_chunks;
    take_turns(s, store, &chunks, &turns, error);
    tess_free(turns.out);
    tess_free(turns.in);
    tess_free(chunks.first);
    return error->code;
}

void tess_statistics_release(struct tess_statistics *s)
{
    tess_free(s->cell);
    *s = (struct tess_statistics){.n = 0};
}
