/* store_read.c -- rank 0 reads and judges the index, all get it, each rank reads its own values.
 *
 * Values are read with the serial driver: reads are independent, and MPI-IO would only add to them.
 */
#include "index_fields.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

int tess_store_is(const char *path, struct tess_error *error)
{
    return tess_h5_is(path, "tessera-store", error);
}

static int read_format(const struct tess_h5 *h5, struct tess_error *error)
{
    char *format = NULL;
    int64_t version = 0;

    if (tess_h5_read_string(h5, "/", "format", &format, error) == TESS_OK &&
        (!format || strcmp(format, "tessera-store") != 0))
        tess_error_set(error, TESS_EDATA,
                       "%s: is no store (its root has no attribute format = 'tessera-store'); "
                       "'tessera import' makes one",
                       h5->path);
    tess_free(format);
    if (error->code == TESS_OK &&
        tess_h5_read_attribute(h5, (struct tess_h5_attribute){"/", "version"}, H5T_NATIVE_INT64, 1,
                               &version, error) == TESS_OK &&
        version != 1 && version != 2)
        tess_error_set(error, TESS_EDATA,
                       "%s: is a store of version %lld, this program reads versions 1 and 2",
                       h5->path, (long long)version);
    return error->code;
}

static int read_vocab(const struct tess_h5 *h5, const char *name, struct tess_vocab *vocab,
                      struct tess_error *error)
{
    char *block = NULL, *place = tess_format("%s: %s", h5->path, name);
    int64_t n;
    int width = 1;

    if (tess_h5_read_strings(h5, name, &n, &width, &block, error) == TESS_OK)
        tess_vocab_init_block(vocab, n, width, block, place, error);
    tess_free(block);
    tess_free(place);
    return error->code;
}

static int read_field(const struct tess_h5 *h5, struct tess_index *index, int i, int64_t n,
                      struct tess_error *error)
{
    char *what;
    void *array;

    if (error->code != TESS_OK)
        return error->code;
    what = tess_format("%s: %s", h5->path, tess_index_fields[i].name);
    array = tess_alloc_large((size_t)n, tess_index_fields[i].size, what, error);
    tess_free(what);
    *tess_index_field_array(index, i) = array;
    return array ? tess_h5_read(h5, tess_index_fields[i].name, tess_index_field_type(i),
                                TESS_H5_LINE(n), array, error)
                 : error->code;
}

static int refuse_length(const struct tess_h5 *h5, int i, int64_t found, int64_t belong,
                         struct tess_error *error)
{
    return tess_error_set(
        error, TESS_EDATA,
        "%s: %s: has %lld entries where %lld belong: the store is damaged; import "
        "it again",
        h5->path, tess_index_fields[i].name, (long long)found, (long long)belong);
}

/* One entry of an array of whole numbers; -1 of an empty one, or after an error. */
static int64_t entry_of(const struct tess_h5 *h5, int i, int64_t n, int64_t at,
                        struct tess_error *error)
{
    struct tess_h5_rows one = {TESS_H5_LINE(n), at, 1};
    int64_t entry = -1;

    if (n > 0 && error->code == TESS_OK &&
        tess_h5_read_rows(h5, tess_index_fields[i].name, H5T_NATIVE_INT64, one, &entry, error) !=
            TESS_OK)
        entry = -1;
    return entry;
}

/* Lists, and where each of them begins in the array of all their entries. */
static const struct {
    int first, all;
} lists[] = {{TESS_FIELD_COMBINATION_FIRST, TESS_FIELD_COMBINATION_MEMBER},
             {TESS_FIELD_PANEL_FIRST, TESS_FIELD_PANEL_READOUT},
             {TESS_FIELD_FOLD_FIRST, TESS_FIELD_FOLD_REPLICATES}};

/* How long all arrays are, held against each other before memory is taken for any of them: a store
 * with one that is damaged may claim billions of experiments. Each of these has replicates, and at
 * least a value. */
static int read_lengths(const struct tess_h5 *h5, int64_t length[TESS_N_FIELDS],
                        struct tess_error *error)
{
    int64_t n, values;

    for (int i = 0; i < TESS_N_FIELDS && error->code == TESS_OK; i++)
        length[i] = tess_index_fields[i].optional && !tess_h5_kind(h5, tess_index_fields[i].name)
                        ? 0
                        : tess_h5_length(h5, tess_index_fields[i].name, error);
    values = error->code == TESS_OK ? tess_h5_length(h5, tess_value_names[0], error) : -1;
    if (error->code != TESS_OK)
        return error->code;
    n = length[TESS_FIELD_COMBINATION];
    for (int i = TESS_FIELD_COMBINATION; i < TESS_N_FIELDS && error->code == TESS_OK; i++)
        if (length[i] != n + (i == TESS_FIELD_FOLD_FIRST) && i != TESS_FIELD_FOLD_REPLICATES &&
            (length[i] > 0 || !tess_index_fields[i].optional))
            refuse_length(h5, i, length[i], n + (i == TESS_FIELD_FOLD_FIRST), error);
    for (size_t k = 0; k < sizeof lists / sizeof lists[0] && error->code == TESS_OK; k++) {
        int64_t n_first = length[lists[k].first];
        int64_t all = entry_of(h5, lists[k].first, n_first, n_first - 1, error);

        if (n_first < 1)
            refuse_length(h5, lists[k].first, n_first, 1, error);
        else if (error->code == TESS_OK && all != length[lists[k].all])
            refuse_length(h5, lists[k].all, length[lists[k].all], all, error);
    }
    if (error->code == TESS_OK &&
        (values < n || (n > 0 && entry_of(h5, TESS_FIELD_REPLICATES, n, 0, error) < 1) ||
         (n > 0 && entry_of(h5, TESS_FIELD_REPLICATES, n, n - 1, error) < 1)))
        tess_error_set(error, TESS_EDATA,
                       "%s: claims %lld experiments, but has %lld values, or experiments without "
                       "replicates: the store is damaged; import it again",
                       h5->path, (long long)n, (long long)values);
    return error->code;
}

/* Nothing in the file is trusted: lengths are what the bytes can hold (h5_claim.h), then have to be
 * those that the arrays imply, then every number is checked; only after that finish indexes by
 * them. */
static int read_index(const struct tess_h5 *h5, struct tess_index *index, struct tess_error *error)
{
    int64_t length[TESS_N_FIELDS], implied[TESS_N_FIELDS];

    if (read_lengths(h5, length, error) != TESS_OK)
        return error->code;
    for (int i = 0; i < TESS_N_VOCABS && error->code == TESS_OK; i++)
        read_vocab(h5, tess_vocab_names[i], tess_index_field_vocab(index, i), error);
    for (int i = 0; i < TESS_N_FIELDS && error->code == TESS_OK; i++)
        if (length[i] > 0 || !tess_index_fields[i].optional)
            read_field(h5, index, i, length[i], error);
    if (error->code != TESS_OK)
        return error->code;
    index->n_combinations = length[TESS_FIELD_COMBINATION_FIRST] - 1;
    index->n_panels = length[TESS_FIELD_PANEL_FIRST] - 1;
    index->n_experiments = length[TESS_FIELD_COMBINATION];
    tess_index_field_lengths(index, implied);
    for (int i = 0; i < TESS_N_FIELDS; i++)
        if (length[i] != implied[i])
            return refuse_length(h5, i, length[i], implied[i], error);
    if (tess_index_check(index, h5->path, error) == TESS_OK)
        tess_index_finish(index);
    return error->code;
}

static int read_checks(struct tess_store *store, int which, struct tess_error *error)
{
    const struct tess_h5 *h5 = &store->h5;
    int64_t n = tess_index_field_values(&store->index, which);
    int64_t blocks = (n + TESS_CHECK_VALUES - 1) / TESS_CHECK_VALUES;

    if (tess_h5_check(h5, tess_value_names[which], TESS_H5_LINE(n), error) != TESS_OK ||
        tess_h5_check(h5, tess_check_names[which], TESS_H5_LINE(blocks), error) != TESS_OK)
        return error->code;
    store->n_checks[which] = blocks;
    store->check[which] = TESS_NEW(uint64_t, blocks);
    return tess_h5_read(h5, tess_check_names[which], H5T_NATIVE_UINT64, TESS_H5_LINE(blocks),
                        store->check[which], error);
}

static int read_method(struct tess_store *store, struct tess_error *error)
{
    char *block = NULL;
    int64_t n;
    int width;

    if (tess_h5_read_strings(&store->h5, "/split/method", &n, &width, &block, error) == TESS_OK &&
        n == 1)
        memcpy(store->split_method, block,
               (size_t)(width < TESS_SPLIT_METHOD ? width : TESS_SPLIT_METHOD - 1));
    tess_free(block);
    return error->code;
}

/* Stores of earlier programs have no such checksum. */
static int check_split(const struct tess_store *store, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    uint64_t check;

    if (tess_h5_kind(&store->h5, TESS_CHECK_SPLIT) == 1 &&
        tess_h5_read(&store->h5, TESS_CHECK_SPLIT, H5T_NATIVE_UINT64, TESS_H5_LINE(1), &check,
                     error) == TESS_OK &&
        !tess_sums_match(tess_split_check(index->split, index->n_experiments, store->split_method),
                         check))
        tess_error_set(error, TESS_EDATA,
                       "%s: its split does not match its checksum: 'tessera split' was interrupted "
                       "in it, or the file is damaged; split it again",
                       store->h5.path);
    return error->code;
}

/* What the file is comes first: nothing of it is read before that. Asked of an open file, as a
 * network's file system may remember older answers about a path. */
static int open_file(struct tess_store *store, const char *path, struct tess_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC), looked = -1;

    if (file >= 0) {
        looked = fstat(file, &store->about);
        close(file);
    }

    if (tess_h5_open(&store->h5, path, MPI_COMM_NULL, 0, error) == TESS_OK && looked < 0)
        tess_error_set(error, TESS_EDATA, "%s: has just come: start again", path);
    return error->code;
}

/* What only rank 0 does: everything is read and judged before anybody else hears of it. */
static int open_first(struct tess_store *store, const char *path, int any_split,
                      struct tess_error *error)
{
    uint64_t hash = 0;

    if (open_file(store, path, error) != TESS_OK || read_format(&store->h5, error) != TESS_OK ||
        read_index(&store->h5, &store->index, error) != TESS_OK ||
        read_checks(store, 0, error) != TESS_OK || read_checks(store, 1, error) != TESS_OK ||
        read_method(store, error) != TESS_OK ||
        (!any_split && check_split(store, error) != TESS_OK) ||
        tess_h5_read_attribute(&store->h5, (struct tess_h5_attribute){"/", "hash"},
                               H5T_NATIVE_UINT64, 1, &hash, error) != TESS_OK)
        return error->code;
    store->index.hash = hash;
    if (!tess_sums_match(tess_index_hash(&store->index, store->n_checks, store->check), hash))
        tess_error_set(error, TESS_EDATA,
                       "%s: its index does not match its checksum: the store is damaged; import it "
                       "again",
                       path);
    return error->code;
}

/* What other ranks do, with rank 0's index: the file may have been replaced meanwhile. */
static int open_again(struct tess_store *store, const char *path, struct tess_error *error)
{
    uint64_t hash = 0;

    if (open_file(store, path, error) == TESS_OK &&
        tess_h5_read_attribute(&store->h5, (struct tess_h5_attribute){"/", "hash"},
                               H5T_NATIVE_UINT64, 1, &hash, error) == TESS_OK &&
        hash != store->index.hash)
        tess_error_set(error, TESS_EDATA,
                       "%s: another file took its place while it was opened: start again", path);
    return error->code;
}

/* Lengths come from rank 0, which alone has arrays to derive them from. What follows from the
 * arrays is not sent but derived again. */
static void broadcast_index(struct tess_store *store, int rank)
{
    struct tess_index *index = &store->index;
    int64_t length[TESS_N_FIELDS] = {0};
    struct {
        int64_t n_combinations, n_panels, n_experiments, n_checks[2];
        uint64_t hash;
    } head = {index->n_combinations,
              index->n_panels,
              index->n_experiments,
              {store->n_checks[0], store->n_checks[1]},
              index->hash};

    if (rank == 0)
        tess_index_field_lengths(index, length);
    tess_broadcast(store->comm, &head, sizeof head);
    MPI_Bcast(length, TESS_N_FIELDS, MPI_INT64_T, 0, store->comm);
    MPI_Bcast(store->split_method, TESS_SPLIT_METHOD, MPI_CHAR, 0, store->comm);
    for (int i = 0; i < TESS_N_VOCABS; i++)
        tess_broadcast_vocab(store->comm, tess_index_field_vocab(index, i));
    for (int i = 0; i < TESS_N_FIELDS; i++) {
        void **array = tess_index_field_array(index, i);

        if (length[i] == 0 && tess_index_fields[i].optional)
            continue;
        *array = tess_broadcast_array(store->comm, *array, length[i], tess_index_fields[i].size);
    }
    for (int which = 0; which < 2; which++) {
        store->n_checks[which] = head.n_checks[which];
        store->check[which] = tess_broadcast_array(
            store->comm, store->check[which], store->n_checks[which], sizeof *store->check[which]);
        store->verified[which] = TESS_NEW(uint8_t, head.n_checks[which]);
    }
    store->block = TESS_NEW(struct tess_store_block, 2);
    index->n_combinations = head.n_combinations;
    index->n_panels = head.n_panels;
    index->n_experiments = head.n_experiments;
    if (rank != 0)
        tess_index_finish(index);
    index->hash = head.hash;
}

static int open_all(struct tess_store *store, const char *path, int any_split, MPI_Comm comm,
                    struct tess_error *error)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    *store = (struct tess_store){.h5 = TESS_H5_INIT, .comm = comm};
    if (rank == 0) {
        tess_h5_guard_start(path);
        open_first(store, path, any_split, error);
        tess_h5_guard_finish();
    }
    if (tess_agree(comm, error) == TESS_OK) {
        broadcast_index(store, rank);
        if (rank != 0)
            open_again(store, path, error);
        tess_agree(comm, error);
    }
    if (error->code != TESS_OK)
        tess_store_release(store);
    return error->code;
}

int tess_store_open(struct tess_store *store, const char *path, MPI_Comm comm,
                    struct tess_error *error)
{
    return open_all(store, path, 0, comm, error);
}

int tess_store_open_to_split(struct tess_store *store, const char *path, MPI_Comm comm,
                             struct tess_error *error)
{
    return open_all(store, path, 1, comm, error);
}

/* The checksum block of which value `at` is part: read whole and verified, kept until another one
 * is asked for. Whoever reads a store from front to back reads each block once. */
static const float *block_around(const struct tess_store *store, int which, int64_t at,
                                 int64_t *first, int64_t *n, struct tess_error *error)
{
    struct tess_store_block *block = &store->block[which];
    int64_t number = at / TESS_CHECK_VALUES;

    *first = number * TESS_CHECK_VALUES;
    *n = tess_index_field_values(&store->index, which) - *first;
    *n = *n < TESS_CHECK_VALUES ? *n : TESS_CHECK_VALUES;
    if (block->value && block->number == number)
        return block->value;
    if (!block->value)
        block->value = TESS_NEW(float, TESS_CHECK_VALUES);
    /* until it is verified, the buffer holds no block */
    block->number = -1;
    if (tess_h5_read_rows(&store->h5, tess_value_names[which], H5T_NATIVE_FLOAT,
                          tess_index_field_rows(&store->index, which, *first, *n), block->value,
                          error) != TESS_OK)
        return NULL;
    if (!tess_sums_match(XXH3_64bits(block->value, (size_t)*n * sizeof(float)),
                         store->check[which][number])) {
        tess_error_set(error, TESS_EDATA,
                       "%s: %s: values %lld to %lld do not match their checksum: the store is "
                       "damaged; import it again",
                       store->h5.path, tess_value_names[which], (long long)*first,
                       (long long)(*first + *n - 1));
        return NULL;
    }
    block->number = number;
    store->verified[which][number] = 1;
    return block->value;
}

/* Values [first, first + n) of the file. */
static int read_values(const struct tess_store *store, int which, int64_t first, int64_t n,
                       float *out, struct tess_error *error)
{
    for (int64_t at = first, take; at < first + n && error->code == TESS_OK; at += take) {
        int64_t number = at / TESS_CHECK_VALUES, end = (number + 1) * TESS_CHECK_VALUES, begin,
                size;
        const float *value;

        take = end < first + n ? end - at : first + n - at;
        if (store->verified[which][number] && store->block[which].number != number) {
            /* back to an earlier block: only what is wanted */
            tess_h5_read_rows(&store->h5, tess_value_names[which], H5T_NATIVE_FLOAT,
                              tess_index_field_rows(&store->index, which, at, take),
                              out + (at - first), error);
            continue;
        }
        value = block_around(store, which, at, &begin, &size, error);
        if (value)
            memcpy(out + (at - first), value + (at - begin), (size_t)take * sizeof *out);
    }
    return error->code;
}

int tess_store_read_values(const struct tess_store *store, int64_t first, int64_t n, float *out,
                           struct tess_error *error)
{
    const int64_t *at = store->index.value_first;

    TESS_BUG_IF(first < 0 || n < 0 || first > store->index.n_experiments - n);
    return read_values(store, 0, at[first], at[first + n] - at[first], out, error);
}

int tess_store_read_folds(const struct tess_store *store, int64_t first, int64_t n, float *out,
                          struct tess_error *error)
{
    const int64_t *at = store->index.fold_value_first;

    TESS_BUG_IF(first < 0 || n < 0 ||
                first > store->index.fold_first[store->index.n_experiments] - n);
    return read_values(store, 1, at[first], at[first + n] - at[first], out, error);
}

/* A piece ends where the experiment or its checksum block does. Blocks with nothing but other
 * splits are never read. */
int tess_store_scan(const struct tess_store *store, int64_t first, int64_t end, int split,
                    const struct tess_store_visitor *visitor, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    const int64_t *at = index->value_first;
    int64_t e = first, column = 0;

    TESS_BUG_IF(first < 0 || first > end || end > index->n_experiments);
    while (e < end) {
        int64_t begin, size, stop;
        const float *value;

        if (index->split[e] != split || at[e + 1] == at[e] + column) {
            e++;
            column = 0;
            continue;
        }
        value = block_around(store, 0, at[e] + column, &begin, &size, error);
        if (!value)
            break;
        stop = begin + size < at[e + 1] ? begin + size : at[e + 1];
        visitor->take(visitor->closure, e, column, stop - at[e] - column,
                      value + (at[e] + column - begin));
        column = stop - at[e];
    }
    return error->code;
}

int tess_store_verify(const struct tess_store *store, struct tess_error *error)
{
    int rank, n_ranks;

    MPI_Comm_rank(store->comm, &rank);
    MPI_Comm_size(store->comm, &n_ranks);
    for (int which = 0; which < 2; which++)
        for (int64_t b = rank, first, n; b < store->n_checks[which] && error->code == TESS_OK;
             b += n_ranks)
            block_around(store, which, b * TESS_CHECK_VALUES, &first, &n, error);
    return tess_agree(store->comm, error);
}

int tess_store_open_values(const struct tess_store *store, int64_t *place, struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;

    *place = tess_h5_place(&store->h5, tess_value_names[0], H5T_NATIVE_FLOAT, &mine);
    if (*place >= 0)
        return tess_h5_own_handle(&store->h5, error);
    tess_error_set(error, TESS_EDATA,
                   "%s: %s: is compressed or in pieces: data.streaming reads values where 'tessera "
                   "import' writes them, one after the other; import it again, or set "
                   "data.streaming to false",
                   store->h5.path, tess_value_names[0]);
    return -1;
}

int tess_store_check_same(const struct tess_store *store, int file, struct tess_error *error)
{
    const struct stat *was = &store->about;
    struct stat now;

    if (fstat(file, &now) < 0)
        tess_error_set(error, TESS_EIO, "%s: values cannot be read any more: %s", store->h5.path,
                       strerror(errno));
    else if (now.st_dev != was->st_dev || now.st_ino != was->st_ino ||
             now.st_size != was->st_size || now.st_mtim.tv_sec != was->st_mtim.tv_sec ||
             now.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
        tess_error_set(error, TESS_EDATA,
                       "%s: was changed while the training reads it: with data.streaming it must "
                       "stay as it is until the end; run the same command again to go on",
                       store->h5.path);
    return error->code;
}

int tess_store_verify_some(const struct tess_store *store, int64_t first, int64_t end, int split,
                           struct tess_error *error)
{
    const struct tess_index *index = &store->index;

    for (int64_t e = first; e < end && error->code == TESS_OK; e++) {
        int64_t at = index->value_first[e] / TESS_CHECK_VALUES, begin, n;

        for (; index->split[e] == split && at * TESS_CHECK_VALUES < index->value_first[e + 1]; at++)
            if (!store->verified[0][at] &&
                !block_around(store, 0, at * TESS_CHECK_VALUES, &begin, &n, error))
                break;
    }
    return error->code;
}

void tess_store_share_verified(const struct tess_store *store)
{
    MPI_Allreduce(MPI_IN_PLACE, store->verified[0], tess_int(store->n_checks[0]), MPI_UINT8_T,
                  MPI_MAX, store->comm);
}
