/* ahead.c -- a sorted list of places in the store, and the threads that go through it. */
#include "tessera/ahead.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In values. Within a page the disk reads what lies between anyway, and a call costs as much as
 * copying some thousand bytes; rows that are not longer are read whole. */
#define GAP ((int64_t)1 << 10)
#define ROW ((int64_t)1 << 14)

/* Where a read's values lie among the store's: from the first to the last of them. */
struct span {
    int64_t first, end;
    const struct tess_read *read;
    float *to;
};

/* What a thread reads into. */
struct scratch {
    float *value;
    size_t room_value;
    int64_t *place; /* columns of the panel, sorted; or readouts */
    size_t room_place;
};

struct tess_ahead {
    const struct tess_dataset *dataset; /* borrowed */
    int file;
    int64_t place; /* byte of the file at which values begin */
    int scaled;
    size_t room;
    struct span *span; /* own */
    int64_t n; /* spans listed */
    struct scratch scratch; /* of who finishes */
    int n_threads;
    pthread_t thread[TESS_AHEAD_THREADS];
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t more, less; /* something was started, or closing; all is done */
    int closing, sorted;
    int64_t started, taken, done; /* spans */
    struct tess_error error; /* the first one */
};

void tess_reads_add(struct tess_reads *reads, struct tess_read read)
{
    reads->read = tess_grow(reads->read, &reads->room, (size_t)reads->n + 1, sizeof *reads->read);
    reads->read[reads->n++] = read;
}

void tess_reads_release(struct tess_reads *reads)
{
    tess_free(reads->read);
    *reads = (struct tess_reads){0};
}

/* Kept columns of the read's panel: places in the panel. */
static const int64_t *places_of(const struct tess_dataset *dataset, const struct tess_read *read)
{
    int64_t panel = dataset->store->index.panel[read->experiment];

    return dataset->panel_column + dataset->panel_first[panel];
}

/* Of a long row only what lies between the outermost columns. */
static struct span span_of(const struct tess_dataset *dataset, const struct tess_read *read)
{
    const struct tess_index *index = &dataset->store->index;
    const int64_t *place = places_of(dataset, read);
    int64_t low = 0, high = tess_dataset_width(dataset, index->panel[read->experiment]) - 1;

    if (!read->column) {
        low = read->first;
        high = low + read->n - 1;
    } else if (place[high] - place[low] >= ROW) {
        low = high = read->column[0];
        for (int32_t k = 1; k < read->n; k++) {
            low = read->column[k] < low ? read->column[k] : low;
            high = read->column[k] > high ? read->column[k] : high;
        }
    }
    return (struct span){index->value_first[read->experiment] + place[low],
                         index->value_first[read->experiment] + place[high] + 1, read, NULL};
}

/* Equal places differ by where they go: one order, whatever qsort. */
static int compare_spans(const void *a, const void *b)
{
    const struct span *u = a, *v = b;

    if (u->first != v->first)
        return u->first < v->first ? -1 : 1;
    return (u->to > v->to) - (u->to < v->to);
}

static int compare_places(const void *a, const void *b)
{
    const int64_t *u = a, *v = b;

    return (*u > *v) - (*u < *v);
}

/* Values [first, end) of the store. */
static int read_values(const struct tess_ahead *ahead, int64_t first, int64_t end, float *out,
                       struct tess_error *error)
{
    const char *path = ahead->dataset->store->h5.path;
    int64_t left = (end - first) * (int64_t)sizeof *out, at = 0;

    while (left > at) {
        ssize_t n = pread(ahead->file, (char *)out + at, (size_t)(left - at),
                          ahead->place + first * (int64_t)sizeof *out + at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tess_error_set(error, TESS_EIO, "%s: values cannot be read any more: %s", path,
                                  strerror(errno));
        if (n == 0)
            return tess_error_set(error, TESS_EDATA,
                                  "%s: ends before its value %lld: it was cut short while the "
                                  "training reads it; import it again",
                                  path, (long long)end);
        at += n;
    }
    return error->code;
}

/* A long row of which few columns are wanted, far from each other: run by run, each to its place in
 * the row. */
static int read_runs(const struct tess_ahead *ahead, const struct span *span,
                     struct scratch *scratch, struct tess_error *error)
{
    const struct tess_read *read = span->read;
    const int64_t *place = places_of(ahead->dataset, read);
    int64_t base = ahead->dataset->store->index.value_first[read->experiment];

    for (int32_t k = 0; k < read->n; k++)
        scratch->place[k] = base + place[read->column ? read->column[k] : read->first + k];
    if (read->column)
        qsort(scratch->place, (size_t)read->n, sizeof *scratch->place, compare_places);
    for (int32_t k = 0, end; k < read->n && error->code == TESS_OK; k = end) {
        for (end = k + 1; end < read->n; end++)
            if (scratch->place[end] - scratch->place[end - 1] > GAP)
                break;
        read_values(ahead, scratch->place[k], scratch->place[end - 1] + 1,
                    scratch->value + (scratch->place[k] - span->first), error);
    }
    return error->code;
}

/* Are its columns neighbours in the store, in their order? */
static int is_run(const struct tess_ahead *ahead, const struct tess_read *read)
{
    const int64_t *place = places_of(ahead->dataset, read);

    return !read->column && place[read->first + read->n - 1] - place[read->first] == read->n - 1;
}

/* `value`: the store's, from value number `first` on. */
static void gather(const struct tess_ahead *ahead, const struct span *span, int64_t first,
                   const float *value)
{
    const struct tess_read *read = span->read;
    const int64_t *place = places_of(ahead->dataset, read);
    int64_t at = ahead->dataset->store->index.value_first[read->experiment] - first;

    if (is_run(ahead, read))
        memcpy(span->to, value + (at + place[read->first]), (size_t)read->n * sizeof *value);
    else
        for (int32_t k = 0; k < read->n; k++)
            span->to[k] = value[at + place[read->column ? read->column[k] : read->first + k]];
}

static void scale(const struct tess_ahead *ahead, const struct span *span, int64_t *room)
{
    const struct tess_dataset *dataset = ahead->dataset;
    const struct tess_index *index = &dataset->store->index;
    const struct tess_read *read = span->read;
    const int64_t *readout =
        dataset->panel_readout + dataset->panel_first[index->panel[read->experiment]];

    if (!ahead->scaled)
        return;
    for (int32_t k = 0; read->column && dataset->scaling.shift && k < read->n; k++)
        room[k] = readout[read->column[k]];
    tess_scaling_apply(&dataset->scaling, index->context_of[read->experiment], read->n,
                       read->column ? room : readout + read->first, span->to);
}

/* Spans that are read at once. */
static int read_piece(const struct tess_ahead *ahead, int64_t n, const struct span *span,
                      struct scratch *scratch, struct tess_error *error)
{
    int64_t first = span[0].first, end = first, most = 0;
    int direct = n == 1 && is_run(ahead, span->read); /* to where it is wanted, without a copy */

    for (int64_t i = 0; i < n; i++) {
        end = span[i].end > end ? span[i].end : end;
        most = span[i].read->n > most ? span[i].read->n : most;
    }
    scratch->value = tess_grow(scratch->value, &scratch->room_value,
                               direct ? 0 : (size_t)(end - first), sizeof *scratch->value);
    scratch->place =
        tess_grow(scratch->place, &scratch->room_place, (size_t)most, sizeof *scratch->place);
    if (n == 1 && end - first > ROW && end - first > most * GAP)
        read_runs(ahead, span, scratch, error);
    else
        read_values(ahead, first, end, direct ? span->to : scratch->value, error);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
        if (!direct)
            gather(ahead, &span[i], first, scratch->value);
        scale(ahead, &span[i], scratch->place);
    }
    return error->code;
}

/* Number of spans from the next one on that lie side by side. The lock is held. */
static int64_t next_piece(struct tess_ahead *ahead)
{
    const struct span *span = ahead->span + ahead->taken;
    int64_t left = ahead->started - ahead->taken, n = 1, end;

    if (!ahead->sorted)
        qsort(ahead->span, (size_t)ahead->started, sizeof *span, compare_spans);
    ahead->sorted = 1;
    for (end = span[0].end;
         n < left && span[n].first <= end + GAP &&
         (end > span[n].end ? end : span[n].end) <= span[0].first + TESS_AHEAD_VALUES;
         n++)
        end = end > span[n].end ? end : span[n].end;
    return n;
}

/* One piece, if there is one left; the lock is held before and after. After an error pieces are
 * taken but not read. */
static int take_piece(struct tess_ahead *ahead, struct scratch *scratch)
{
    struct tess_error mine = TESS_ERROR_INIT;
    const struct span *span;
    int64_t n;
    int failed = ahead->error.code != TESS_OK;

    if (ahead->taken == ahead->started)
        return 0;
    span = ahead->span + ahead->taken;
    n = failed ? ahead->started - ahead->taken : next_piece(ahead);
    ahead->taken += n;
    if (!failed) {
        pthread_mutex_unlock(&ahead->lock);
        read_piece(ahead, n, span, scratch, &mine);
        pthread_mutex_lock(&ahead->lock);
    }
    if (mine.code != TESS_OK && ahead->error.code == TESS_OK)
        ahead->error = mine;
    ahead->done += n;
    if (ahead->done == ahead->started)
        pthread_cond_signal(&ahead->less);
    return 1;
}

static void scratch_release(struct scratch *scratch)
{
    tess_free(scratch->value);
    tess_free(scratch->place);
}

static void *work(void *closure)
{
    struct tess_ahead *ahead = closure;
    struct scratch scratch = {.value = NULL};

    pthread_mutex_lock(&ahead->lock);
    while (!ahead->closing)
        if (!take_piece(ahead, &scratch))
            pthread_cond_wait(&ahead->more, &ahead->lock);
    pthread_mutex_unlock(&ahead->lock);
    scratch_release(&scratch);
    return NULL;
}

struct tess_ahead *tess_ahead_open(const struct tess_dataset *dataset, struct tess_error *error)
{
    struct tess_ahead *ahead = TESS_NEW(struct tess_ahead, 1);

    ahead->dataset = dataset;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->more, NULL);
    pthread_cond_init(&ahead->less, NULL);
    ahead->file = tess_store_open_values(dataset->store, &ahead->place, error);
    if (ahead->file < 0 || tess_store_check_same(dataset->store, ahead->file, error) != TESS_OK) {
        tess_ahead_release(ahead);
        return NULL;
    }
    while (ahead->n_threads < TESS_AHEAD_THREADS &&
           pthread_create(&ahead->thread[ahead->n_threads], NULL, work, ahead) == 0)
        ahead->n_threads++; /* none at all: who finishes does it */
    return ahead;
}

void tess_ahead_add(struct tess_ahead *ahead, const struct tess_reads *reads)
{
    ahead->span =
        tess_grow(ahead->span, &ahead->room, (size_t)(ahead->n + reads->n), sizeof *ahead->span);
    for (int64_t i = 0; i < reads->n; i++) {
        struct span *span = &ahead->span[ahead->n++];

        *span = span_of(ahead->dataset, &reads->read[i]);
        span->to = reads->target + reads->read[i].to;
    }
}

/* What was verified is what is read: asked before the reads, which need not be made of another
 * file, and after them, before what they brought is used. */
static void compare_file(struct tess_ahead *ahead)
{
    const struct tess_store *store = ahead->dataset->store;

    if (!tess_fail_here(&ahead->error, store->h5.path))
        tess_store_check_same(store, ahead->file, &ahead->error);
}

void tess_ahead_start(struct tess_ahead *ahead, int scaled)
{
    TESS_BUG_IF(ahead->done != ahead->started);
    pthread_mutex_lock(&ahead->lock);
    compare_file(ahead);
    ahead->scaled = scaled;
    ahead->started = ahead->n;
    ahead->taken = ahead->done = ahead->sorted = 0;
    ahead->n = 0;
    pthread_cond_broadcast(&ahead->more);
    pthread_mutex_unlock(&ahead->lock);
}

int tess_ahead_finish(struct tess_ahead *ahead, struct tess_error *error)
{
    pthread_mutex_lock(&ahead->lock);
    while (take_piece(ahead, &ahead->scratch))
        ;
    while (ahead->done < ahead->started)
        pthread_cond_wait(&ahead->less, &ahead->lock);
    if (ahead->started > 0)
        compare_file(ahead);
    if (ahead->error.code != TESS_OK)
        tess_error_set(error, ahead->error.code, "%s", ahead->error.text);
    pthread_mutex_unlock(&ahead->lock);
    return error->code;
}

void tess_ahead_drop(struct tess_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->done += ahead->started - ahead->taken;
    ahead->taken = ahead->started;
    while (ahead->done < ahead->started)
        pthread_cond_wait(&ahead->less, &ahead->lock);
    ahead->n = 0;
    pthread_mutex_unlock(&ahead->lock);
}

void tess_ahead_release(struct tess_ahead *ahead)
{
    if (!ahead)
        return;
    tess_ahead_drop(ahead);
    pthread_mutex_lock(&ahead->lock);
    ahead->closing = 1;
    pthread_cond_broadcast(&ahead->more);
    pthread_mutex_unlock(&ahead->lock);
    for (int i = 0; i < ahead->n_threads; i++)
        pthread_join(ahead->thread[i], NULL);
    pthread_mutex_destroy(&ahead->lock);
    pthread_cond_destroy(&ahead->more);
    pthread_cond_destroy(&ahead->less);
    if (ahead->file >= 0)
        close(ahead->file);
    scratch_release(&ahead->scratch);
    tess_free(ahead->span);
    tess_free(ahead);
}
