/* verify.c -- what kind of file it is, and the look that goes with it. */
#include "tessera/verify.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/blend.h"
#include "tessera/broadcast.h"
#include "tessera/checkpoint.h"
#include "tessera/checksums.h"
#include "tessera/config.h"
#include "tessera/deviation.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/h5_guard.h"
#include "tessera/info.h"
#include "tessera/rundir.h"
#include "tessera/store.h"
#include "tessera/writer.h"
#include "tessera/zarr.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_VALUES ((int64_t)1 << 22)

static void add(struct tess_strings *strings, const char *path, const char *what)
{
    char *text = tess_format("%s: %s", path, what);

    tess_strings_add(strings, text);
    tess_free(text);
}

/* Bad data are problems; anything else stays an error. The code must be the same on every rank
 * before, and is after: nobody goes on where another has stopped. */
static int take(struct tess_verified *verified, int rank, struct tess_error *error)
{
    if (error->code != TESS_EDATA)
        return error->code;
    if (rank == 0)
        tess_strings_add(&verified->problem, error->text);
    *error = (struct tess_error)TESS_ERROR_INIT;
    return TESS_OK;
}

/* What each rank found to rank 0's problems; the list is emptied. Collective. */
static void gather_verified(MPI_Comm comm, struct tess_strings *mine,
                            struct tess_verified *verified)
{
    tess_gather_strings(comm, mine);
    for (size_t i = 0; i < mine->n; i++)
        tess_strings_add(&verified->problem, mine->item[i]);
    tess_strings_release(mine);
}

/* Values of experiments [first, end): none infinite, as many measured as the index says. Local. */
static int count_values(const struct tess_store *store, int64_t first, int64_t end,
                        struct tess_strings *problems, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    float *value = NULL;

    for (int64_t at = first, next; at < end && error->code == TESS_OK; at = next) {
        for (next = at + 1; next < end; next++)
            if (index->value_first[next + 1] - index->value_first[at] > PIECE_VALUES)
                break;
        tess_free(value);
        value = TESS_NEW(float, index->value_first[next] - index->value_first[at]);
        if (tess_store_read_values(store, at, next - at, value, error) == TESS_EDATA) {
            tess_strings_add(problems, error->text);
            *error = (struct tess_error)TESS_ERROR_INIT;
            continue;
        }
        for (int64_t e = at; e < next && error->code == TESS_OK; e++) {
            const float *x = value + index->value_first[e] - index->value_first[at];
            int64_t n = index->value_first[e + 1] - index->value_first[e], measured = 0, bad = 0;
            char *what;

            for (int64_t i = 0; i < n; i++) {
                measured += !isnan(x[i]);
                bad += isinf(x[i]) != 0;
            }
            if (bad == 0 && measured == index->n_observed[e])
                continue;
            what = tess_format("experiment %" PRId64 ": %" PRId64 " infinite values, %" PRId64
                               " measured where %" PRId64 " belong",
                               e, bad, measured, index->n_observed[e]);
            add(problems, store->h5.path, what);
            tess_free(what);
        }
    }
    tess_free(value);
    return error->code;
}

static int verify_store(const char *path, MPI_Comm comm, struct tess_verified *verified,
                        struct tess_error *error)
{
    struct tess_strings mine = {0};
    struct tess_store store;
    int64_t n;
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    if (tess_store_open(&store, path, comm, error) != TESS_OK)
        return take(verified, rank, error);
    n = store.index.n_experiments;
    count_values(&store, n * rank / n_ranks, n * (rank + 1) / n_ranks, &mine, error);
    if (tess_agree(comm, error) == TESS_OK) {
        gather_verified(comm, &mine, verified);
        tess_store_verify(&store, error); /* the folds' values, too */
    }
    tess_strings_release(&mine);
    tess_store_release(&store);
    return take(verified, rank, error);
}

static int verify_matrix(const char *path, const struct tess_writer_type *type, MPI_Comm comm,
                         struct tess_verified *verified, struct tess_error *error)
{
    struct tess_strings mine = {0};
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    tess_writer_verify(type, path, rank, n_ranks, &mine, error);
    tess_agree(comm, error);
    gather_verified(comm, &mine, verified);
    return take(verified, rank, error);
}

/* A file's sidecar, if it has one: 0 missing, 1 right, -1 the file is damaged. Collective. */
static int verify_sums(const char *path, MPI_Comm comm, struct tess_verified *verified,
                       struct tess_error *error)
{
    char *name = tess_format("%s.sum", path);
    int rank, there;

    MPI_Comm_rank(comm, &rank);
    there = rank == 0 && access(name, F_OK) == 0;
    MPI_Bcast(&there, 1, MPI_INT, 0, comm);
    if (there && tess_checksums_verify(path, comm, &verified->problem, error) == TESS_EDATA) {
        *error = (struct tess_error)TESS_ERROR_INIT; /* its blocks are problems already */
        there = -1;
    }
    tess_free(name);
    return there;
}

/* What is said of a file without problems; `sums`: it has a sidecar. */
static void approve(struct tess_verified *verified, const char *path, int kind, int sums)
{
    const char *name = kind == TESS_INFO_STORE ? "a store"
                       : kind == TESS_INFO_CHECKPOINT
                           ? "a checkpoint"
                           : tess_writer_types[kind - TESS_INFO_MATRIX]->name;
    char *what = tess_format(kind < TESS_INFO_MATRIX || sums
                                 ? "%s, every checksum and number is right"
                                 : "%s without checksums beside it, its structure is right",
                             name);

    add(&verified->right, path, what);
    tess_free(what);
}

/* Not whole is a problem, however right what is there may be. Rank 0. */
static void verify_unfinished(const char *path, struct tess_verified *verified)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_record record;
    char *what;

    if (tess_record_read(&record, path, &error) == TESS_OK && record.finished >= 0)
        tess_record_check(&record, path, &error);
    if (error.code != TESS_OK)
        tess_strings_add(&verified->problem, error.text);
    else {
        what =
            tess_format("is unfinished: %" PRId64 " of %" PRId64
                        " rows are there%s: the command that began it, given again, completes it",
                        record.finished > 0 ? record.finished : 0, record.rows,
                        record.finished >= 0 ? ", and its labels are right" : "");
        add(&verified->problem, path, what);
        tess_free(what);
    }
    tess_record_release(&record);
}

/* The sidecar first: what it calls damaged is not given to HDF5, which trusts what it reads.
 * Collective. */
static int verify_file(const char *path, MPI_Comm comm, struct tess_verified *verified,
                       struct tess_error *error)
{
    size_t before = verified->problem.n;
    int rank, kind = -1, sums = verify_sums(path, comm, verified, error);

    MPI_Comm_rank(comm, &rank);
    if (sums < 0 || error->code != TESS_OK)
        return error->code;
    if (rank == 0)
        kind = tess_info_kind(path, error);
    MPI_Bcast(&kind, 1, MPI_INT, 0, comm);
    if (tess_agree(comm, error) != TESS_OK)
        return take(verified, rank, error);
    if (kind == TESS_INFO_STORE)
        verify_store(path, comm, verified, error);
    else if (kind == TESS_INFO_UNFINISHED && rank == 0)
        verify_unfinished(path, verified);
    else if (kind >= TESS_INFO_MATRIX)
        verify_matrix(path, tess_writer_types[kind - TESS_INFO_MATRIX], comm, verified, error);
    else if (kind == TESS_INFO_CHECKPOINT) {
        if (!sums && rank == 0)
            add(&verified->problem, path, "has no checksums beside it (NAME.sum)");
        tess_checkpoint_verify(path, comm, &verified->problem, error);
    }
    if (rank == 0 && error->code == TESS_OK && verified->problem.n == before)
        approve(verified, path, kind, sums);
    return error->code;
}

/* The blend, and that every line of the log is JSON, in order of the epochs. Rank 0. */
static void verify_texts(const char *directory, struct tess_verified *verified)
{
    char *path = tess_format("%s/log.jsonl", directory), *line = NULL;
    FILE *file = fopen(path, "r");
    struct tess_error bad_blend = TESS_ERROR_INIT;
    struct tess_blend blend;
    int there;
    json_int_t epoch = 0;
    int64_t length;
    size_t room = 0;

    if (!file)
        add(&verified->problem, path, "is missing");
    for (int64_t n = 1; file && (length = getline(&line, &room, file)) > 0; n++) {
        json_t *entry = json_loadb(line, (size_t)length, 0, NULL);
        json_int_t now = json_integer_value(json_object_get(entry, "epoch"));

        if (!entry || now <= epoch) {
            char *what = tess_format("line %" PRId64 " is damaged or out of order", n);

            add(&verified->problem, path, what);
            tess_free(what);
        }
        epoch = now;
        json_decref(entry);
    }
    if (file)
        fclose(file);
    free(line); /* getline's own */
    tess_free(path);
    if (tess_blend_read(directory, &blend, &there, &bad_blend) != TESS_OK)
        tess_strings_add(&verified->problem, bad_blend.text);
}

/* used.yaml; how many members it speaks of. Rank 0. */
static int64_t verify_used(const char *directory, struct tess_verified *verified)
{
    struct tess_error error = TESS_ERROR_INIT;
    char *path = tess_format("%s/used.yaml", directory);
    struct tess_config config;

    if (tess_rundir_read_used(path, &config, &error) != TESS_OK)
        tess_strings_add(&verified->problem, error.text);
    tess_free(path);
    return config.train.members;
}

/* Rank 0 knows which files there are; all ranks verify each. Every checkpoint is looked at, damaged
 * ones before it or not. Collective. */
static int verify_single(const char *path, MPI_Comm comm, struct tess_verified *verified,
                         struct tess_error *error)
{
    struct tess_strings found = {0};
    char *store = NULL;
    int64_t n;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && tess_rundir_find(path, &found, &store, error) == TESS_OK) {
        verify_used(path, verified);
        verify_texts(path, verified);
    }
    if (tess_agree(comm, error) != TESS_OK) {
        tess_strings_release(&found);
        tess_free(store);
        return take(verified, rank, error);
    }
    n = (int64_t)found.n;
    MPI_Bcast(&n, 1, MPI_INT64_T, 0, comm);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
        char *name = rank == 0 ? tess_strdup(found.item[i]) : NULL;

        tess_broadcast_text(comm, &name);
        verify_file(name, comm, verified, error);
        tess_free(name);
    }
    tess_strings_release(&found);
    tess_free(store);
    return error->code;
}

/* What belongs to all members: settings, and how good their deviation is. Rank 0. */
static void verify_ensemble(const char *path, int64_t n, struct tess_verified *verified)
{
    struct tess_error bad = TESS_ERROR_INIT;
    struct tess_deviation_file deviation;
    int64_t expected = verify_used(path, verified);
    int there;

    if (expected > n) {
        char *what = tess_format("%" PRId64 " of %" PRId64 " members are there", n, expected);

        add(&verified->problem, path, what);
        tess_free(what);
    }
    if (tess_deviation_read(path, &deviation, &there, &bad) != TESS_OK)
        tess_strings_add(&verified->problem, bad.text);
}

/* A run, or each member of one. Rank 0 knows which there are. Collective. */
static int verify_run(const char *path, MPI_Comm comm, struct tess_verified *verified,
                      struct tess_error *error)
{
    int64_t *number = NULL, n = 0;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && tess_rundir_holds_members(path))
        n = tess_rundir_members(path, &number);
    MPI_Bcast(&n, 1, MPI_INT64_T, 0, comm);
    if (n == 0)
        return verify_single(path, comm, verified, error);
    if (rank == 0)
        verify_ensemble(path, n, verified);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
        char *member = rank == 0 ? tess_rundir_member(path, number[i]) : NULL;

        tess_broadcast_text(comm, &member);
        verify_single(member, comm, verified, error);
        tess_free(member);
    }
    tess_free(number);
    return error->code;
}

void tess_verified_release(struct tess_verified *verified)
{
    tess_strings_release(&verified->right);
    tess_strings_release(&verified->problem);
}

int tess_verify(const char *path, MPI_Comm comm, struct tess_verified *verified,
                struct tess_error *error)
{
    struct stat about;
    int rank, is_directory;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_zarr_refuse(path, error);
    if (tess_agree(comm, error) != TESS_OK)
        return take(verified, rank, error);
    is_directory = rank == 0 && stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    MPI_Bcast(&is_directory, 1, MPI_INT, 0, comm);
    return (is_directory ? verify_run : verify_file)(path, comm, verified, error);
}
