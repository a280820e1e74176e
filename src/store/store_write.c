/* store_write.c -- a new store, written aside by all ranks; and the split, replaced in place. */
#include "index_fields.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/version.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define REDUCE_PIECE ((int64_t)1 << 24)

static int rank_of(MPI_Comm comm)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    return rank;
}

/* Every call here agrees: error->code is the same on all ranks, and all stop at the same one. */
static int write_index(struct tess_store *store, struct tess_error *error)
{
    struct tess_h5 *h5 = &store->h5;
    int64_t length[TESS_N_FIELDS], version = store->index.weight ? TESS_STORE_VERSION : 1;
    char *creator = tess_format("tessera %s", tess_version);

    tess_h5_write_string(h5, "/", "format", "tessera-store", error);
    if (error->code == TESS_OK)
        tess_h5_write_attribute(h5, (struct tess_h5_attribute){"/", "version"}, H5T_NATIVE_INT64, 1,
                                &version, error);
    if (error->code == TESS_OK)
        tess_h5_write_string(h5, "/", "created_by", creator, error);
    tess_free(creator);
    for (int i = 0; i < TESS_N_VOCABS && error->code == TESS_OK; i++) {
        const struct tess_vocab *vocab = tess_index_field_vocab(&store->index, i);

        tess_h5_write_strings(
            h5, tess_vocab_names[i],
            &(struct tess_h5_strings){vocab->n, vocab->width, vocab->width + 1, vocab->text},
            error);
    }
    tess_index_field_lengths(&store->index, length);
    for (int i = 0; i < TESS_N_FIELDS && error->code == TESS_OK; i++) {
        if (tess_index_fields[i].optional && !*tess_index_field_array(&store->index, i))
            continue;
        tess_h5_write(h5, tess_index_fields[i].name, tess_index_field_type(i),
                      TESS_H5_LINE(length[i]), *tess_index_field_array(&store->index, i), error);
    }
    for (int which = 0; which < 2 && error->code == TESS_OK; which++) {
        int64_t n = tess_index_field_values(&store->index, which);

        tess_h5_define(h5, tess_value_names[which], H5T_NATIVE_FLOAT, TESS_H5_LINE(n), error);
    }
    return error->code;
}

int tess_store_create(struct tess_store *store, const char *path, MPI_Comm comm,
                      struct tess_index *index, struct tess_error *error)
{
    int n_ranks;

    MPI_Comm_size(comm, &n_ranks);
    *store = (struct tess_store){.h5 = TESS_H5_INIT, .comm = comm, .index = *index};
    *index = (struct tess_index){.control = -1};
    snprintf(store->split_method, sizeof store->split_method, "as given when it was made");
    tess_index_check(&store->index, path, error);
    if (rank_of(comm) == 0 && error->code == TESS_OK)
        tess_commit_open(&store->commit, path, error);
    if (tess_agree(comm, error) == TESS_OK) {
        tess_broadcast_commit(comm, &store->commit);
        if (tess_h5_create(&store->h5, store->commit.aside, n_ranks == 1 ? MPI_COMM_NULL : comm,
                           error) == TESS_OK)
            write_index(store, error);
    }
    if (error->code != TESS_OK)
        tess_store_release(store);
    return error->code;
}

int tess_store_write_values(struct tess_store *store, int64_t first, int64_t n, const float *value,
                            struct tess_error *error)
{
    const int64_t *at = store->index.value_first;

    TESS_BUG_IF(first < 0 || n < 0 || first > store->index.n_experiments - n);
    return tess_h5_write_rows(&store->h5, tess_value_names[0], H5T_NATIVE_FLOAT,
                              (struct tess_h5_range){at[first], at[first + n] - at[first]}, value,
                              error);
}

int tess_store_write_folds(struct tess_store *store, int64_t first, int64_t n, const float *value,
                           struct tess_error *error)
{
    const int64_t *at = store->index.fold_value_first;

    TESS_BUG_IF(first < 0 || n < 0 ||
                first > store->index.fold_first[store->index.n_experiments] - n);
    return tess_h5_write_rows(&store->h5, tess_value_names[1], H5T_NATIVE_FLOAT,
                              (struct tess_h5_range){at[first], at[first + n] - at[first]}, value,
                              error);
}

/* The experiment that value `at` belongs to. */
static int64_t experiment_at(const struct tess_index *index, int64_t at)
{
    int64_t low = 0, high = index->n_experiments;

    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;

        if (index->value_first[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void count_observed(struct tess_index *index, int64_t first, int64_t n, const float *value)
{
    int64_t experiment = experiment_at(index, first);

    for (int64_t i = 0; i < n; i++) {
        while (first + i >= index->value_first[experiment + 1])
            experiment++;
        index->n_observed[experiment] += !isnan(value[i]);
    }
}

/* Sums of what is zero on all ranks but one (checksums: any bits), or of counts. */
static void sum_over_ranks(MPI_Comm comm, int64_t *data, int64_t n)
{
    for (int64_t i = 0; i < n; i += REDUCE_PIECE)
        MPI_Allreduce(MPI_IN_PLACE, data + i, tess_int(n - i < REDUCE_PIECE ? n - i : REDUCE_PIECE),
                      MPI_INT64_T, MPI_SUM, comm);
}

/* Reads back what all ranks wrote, each a share of the blocks: checksums and observed values.
 * Another rank's bytes are sure to be there after a flush on both sides of a barrier (MPI-IO). */
static int sum_blocks(struct tess_store *store, int which, struct tess_error *error)
{
    int64_t total = tess_index_field_values(&store->index, which);
    int64_t n_blocks = (total + TESS_CHECK_VALUES - 1) / TESS_CHECK_VALUES;
    float *data = TESS_NEW(float, TESS_CHECK_VALUES);
    int rank = rank_of(store->comm), n_ranks;

    MPI_Comm_size(store->comm, &n_ranks);
    store->n_checks[which] = n_blocks;
    tess_free(store->check[which]);
    store->check[which] = TESS_NEW(uint64_t, n_blocks);
    for (int64_t b = rank; b < n_blocks && error->code == TESS_OK; b += n_ranks) {
        int64_t first = b * TESS_CHECK_VALUES, n = total - first;

        n = n < TESS_CHECK_VALUES ? n : TESS_CHECK_VALUES;
        tess_h5_read_rows(&store->h5, tess_value_names[which], H5T_NATIVE_FLOAT,
                          tess_index_field_rows(&store->index, which, first, n), data, error);
        store->check[which][b] = XXH3_64bits(data, (size_t)n * sizeof *data);
        if (which == 0 && error->code == TESS_OK)
            count_observed(&store->index, first, n, data);
    }
    tess_free(data);
    if (tess_agree(store->comm, error) == TESS_OK)
        sum_over_ranks(store->comm, (int64_t *)store->check[which], n_blocks);
    return error->code;
}

/* The hash comes last: a store that lacks it was not finished. */
static int write_sums(struct tess_store *store, struct tess_error *error)
{
    struct tess_index *index = &store->index;
    int64_t one = 1, mine = rank_of(store->comm) == 0;
    uint64_t check = tess_split_check(index->split, index->n_experiments, store->split_method);

    sum_over_ranks(store->comm, index->n_observed, index->n_experiments);
    tess_h5_write_rows(&store->h5, tess_index_fields[TESS_FIELD_OBSERVED].name, H5T_NATIVE_INT64,
                       (struct tess_h5_range){0, mine * index->n_experiments}, index->n_observed,
                       error);
    for (int which = 0; which < 2 && error->code == TESS_OK; which++)
        tess_h5_write(&store->h5, tess_check_names[which], H5T_NATIVE_UINT64,
                      TESS_H5_LINE(store->n_checks[which]), store->check[which], error);
    if (error->code == TESS_OK)
        tess_h5_write_strings(&store->h5, "/split/method",
                              &(struct tess_h5_strings){one, TESS_SPLIT_METHOD, TESS_SPLIT_METHOD,
                                                        store->split_method},
                              error);
    if (error->code == TESS_OK)
        tess_h5_write(&store->h5, TESS_CHECK_SPLIT, H5T_NATIVE_UINT64, TESS_H5_LINE(one), &check,
                      error);
    index->hash = tess_index_hash(index, store->n_checks, store->check);
    if (error->code == TESS_OK)
        tess_h5_write_attribute(&store->h5, (struct tess_h5_attribute){"/", "hash"},
                                H5T_NATIVE_UINT64, 1, &index->hash, error);
    return error->code;
}

int tess_store_finish(struct tess_store *store, struct tess_error *error)
{
    memset(store->index.n_observed, 0, (size_t)store->index.n_experiments * sizeof(int64_t));
    /* flush, barrier, flush: "sync-barrier-sync" of MPI 3.1, 13.6.1, before ranks read each other's
     * bytes */
    for (int round = 0; round < 2; round++) {
        tess_h5_flush(&store->h5, error);
        MPI_Barrier(store->comm);
    }
    tess_agree(store->comm, error);
    for (int which = 0; which < 2 && error->code == TESS_OK; which++)
        sum_blocks(store, which, error);
    if (error->code == TESS_OK)
        write_sums(store, error);
    if (error->code == TESS_OK)
        tess_h5_close(&store->h5, error);
    if (rank_of(store->comm) == 0 && error->code == TESS_OK)
        tess_commit_finish(&store->commit, error);
    tess_agree(store->comm, error);
    tess_store_release(store);
    return error->code;
}

void tess_store_release(struct tess_store *store)
{
    struct tess_error ignored = TESS_ERROR_INIT;

    if (store->h5.path) /* all zeroes is closed, too */
        tess_h5_close(&store->h5, &ignored);
    tess_commit_release(&store->commit);
    tess_index_release(&store->index);
    for (int which = 0; which < 2; which++) {
        tess_free(store->check[which]);
        tess_free(store->verified[which]);
        if (store->block)
            tess_free(store->block[which].value);
    }
    tess_free(store->block);
    *store = (struct tess_store){.h5 = TESS_H5_INIT, .comm = store->comm};
}

/* The checksum comes last: a split that was not written to its end does not match it. */
static int replace_split(struct tess_h5 *h5, const int8_t *split, int64_t n, const char *method,
                         struct tess_error *error)
{
    const char *name = tess_index_fields[TESS_FIELD_SPLIT].name;
    char text[TESS_SPLIT_METHOD] = "";
    hid_t type = tess_h5_string_type(TESS_SPLIT_METHOD);
    int64_t one = 1;
    int has_check = tess_h5_kind(h5, TESS_CHECK_SPLIT) == 1; /* a store of version 0.x has none */
    uint64_t check;

    snprintf(text, sizeof text, "%s", method);
    check = tess_split_check(split, n, text);
    if (tess_h5_check(h5, name, TESS_H5_LINE(n), error) == TESS_OK &&
        tess_h5_check(h5, "/split/method", TESS_H5_LINE(1), error) == TESS_OK && has_check)
        tess_h5_check(h5, TESS_CHECK_SPLIT, TESS_H5_LINE(1), error);
    if (error->code == TESS_OK &&
        tess_h5_write_rows(h5, name, H5T_NATIVE_INT8, (struct tess_h5_range){0, n}, split, error) ==
            TESS_OK)
        tess_h5_write_rows(h5, "/split/method", type, (struct tess_h5_range){0, 1}, text, error);
    if (error->code == TESS_OK && !has_check)
        tess_h5_write(h5, TESS_CHECK_SPLIT, H5T_NATIVE_UINT64, TESS_H5_LINE(one), &check, error);
    else if (error->code == TESS_OK)
        tess_h5_write_rows(h5, TESS_CHECK_SPLIT, H5T_NATIVE_UINT64, (struct tess_h5_range){0, 1},
                           &check, error);
    tess_h5_type_close(type);
    return error->code;
}

static void sync_file(const char *path, struct tess_error *error)
{
    int handle = open(path, O_RDONLY);

    if (handle < 0 || fsync(handle) < 0)
        tess_error_set(error, TESS_EIO, "%s: cannot be brought to disk: %s", path, strerror(errno));
    if (handle >= 0)
        close(handle);
}

int tess_store_write_split(const char *path, MPI_Comm comm, const int8_t *split, int64_t n,
                           const char *method, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;

    if (rank_of(comm) == 0) {
        if (tess_h5_open(&h5, path, MPI_COMM_NULL, 1, error) == TESS_OK)
            replace_split(&h5, split, n, method, error);
        tess_h5_close(&h5, error);
        if (error->code == TESS_OK)
            sync_file(path, error);
    }
    return tess_agree(comm, error);
}
