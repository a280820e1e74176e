/* store.h -- the store (`*.prc.h5`): experiments over panels of readouts, ready for training.
 *
 * Everything but the values (the index) is small and is the same on every rank; values are read
 * where they are needed. Experiments are sorted by (context, panel, combination), and as they were
 * imported within that, so that a lane's values are one contiguous piece of the file. The layout on
 * disk is described in docs/formats.md. */
#ifndef TESSERA_STORE_H
#define TESSERA_STORE_H

#include "tessera/commit.h"
#include "tessera/h5.h"
#include "tessera/index.h"

#include <stdint.h>
#include <sys/stat.h>

#define TESS_STORE_VERSION 2 /* the newest; 1 is one without weights, and still written */
#define TESS_STORE_FOLDS   8 /* at most so many parts keep the replicates of an experiment */

#define TESS_STORE_READ_BYTES ((double)(4 << 20)) /* that reading values takes: one block */

struct tess_store_block { /* values under one checksum, verified */
    int64_t number;
    float *value; /* own; NULL: none was read */
};

#define TESS_SPLIT_METHOD 1024 /* bytes of the words that say how a split was made */

struct tess_store {
    struct tess_h5 h5;
    struct stat about; /* of the file, when this rank opened it */
    struct tess_index index; /* own */
    struct tess_commit commit; /* while writing */
    MPI_Comm comm; /* borrowed */
    char split_method[TESS_SPLIT_METHOD]; /* how it was made; may be set until finish */
    int64_t n_checks[2]; /* blocks of the values and of the fold values */
    uint64_t *check[2]; /* their checksums; own */
    struct tess_store_block *block; /* (2) the last block read of each; own */
    uint8_t *verified[2]; /* blocks that were once found intact; own */
};

/* Does the file say that it is one? TESS_EIO if it could not be read; what it is not is no error.
 * Local. */
int tess_store_is(const char *path, struct tess_error *error);
/* Rank 0 reads the index, all get it; then every rank can read values. TESS_EDATA if it is no
 * store, of another version, or inconsistent; it is released then. Collective over comm. */
int tess_store_open(struct tess_store *store, const char *path, MPI_Comm comm,
                    struct tess_error *error);
/* The same if the split will be replaced: it may be damaged. */
int tess_store_open_to_split(struct tess_store *store, const char *path, MPI_Comm comm,
                             struct tess_error *error);
/* Values of experiments [first, first + n): value_first[first + n] - value_first[first] floats.
 * Checksum blocks (2^20 values) are read whole and verified, once each; the last one is kept, so
 * that going through a store from front to back, in steps of any size, reads nothing twice. Local.
 */
int tess_store_read_values(const struct tess_store *store, int64_t first, int64_t n, float *out,
                           struct tess_error *error);
/* All values of the experiments with this split among [first, end), in order, each experiment in
 * one piece or more: the piece's first column of the panel, its length. Takes one block of memory,
 * and reads only blocks that hold something asked for. Local. */
struct tess_store_visitor {
    void *closure;
    void (*take)(void *closure, int64_t experiment, int64_t column, int64_t n, const float *value);
};
int tess_store_scan(const struct tess_store *store, int64_t first, int64_t end, int split,
                    const struct tess_store_visitor *visitor, struct tess_error *error);
/* Values of folds [first, first + n) (fold numbers), in the same way. Local. */
int tess_store_read_folds(const struct tess_store *store, int64_t first, int64_t n, float *out,
                          struct tess_error *error);

/* For who reads values himself, anywhere and in any order (ahead.h): a handle on the file (close),
 * and the byte at which its values begin, float32 one after the other. -1 and TESS_EDATA if they
 * are compressed or in pieces, which 'tessera import' never makes. Local. */
int tess_store_open_values(const struct tess_store *store, int64_t *place,
                           struct tess_error *error);
/* Is the file behind such a handle as it was when the store was opened (size, time of its last
 * change)? TESS_EDATA, TESS_EIO. Local. */
int tess_store_check_same(const struct tess_store *store, int file, struct tess_error *error);
/* What such reads cannot: every block that holds a value of the experiments with this split among
 * [first, end) is verified, unless this rank or, after tess_store_share_verified, another one did
 * so before. Local. */
int tess_store_verify_some(const struct tess_store *store, int64_t first, int64_t end, int split,
                           struct tess_error *error);
/* Collective over the store's comm. */
void tess_store_share_verified(const struct tess_store *store);

/* A new store, written aside; takes over `index` (the same on every rank, finished; emptied),
 * and releases it after an error. Collective over comm. */
int tess_store_create(struct tess_store *store, const char *path, MPI_Comm comm,
                      struct tess_index *index, struct tess_error *error);
/* Values of experiments [first, first + n), any part on any rank, n may be 0. Collective. */
int tess_store_write_values(struct tess_store *store, int64_t first, int64_t n, const float *value,
                            struct tess_error *error);
int tess_store_write_folds(struct tess_store *store, int64_t first, int64_t n, const float *value,
                           struct tess_error *error);
/* Reads everything and compares it with the checksums: TESS_EDATA naming the place. Each rank its
 * share. Collective. */
int tess_store_verify(const struct tess_store *store, struct tess_error *error);
/* After the last value: n_observed (counted here, whatever the index said), checksums, hash, rename
 * into place. Releases the store, whatever the result. Collective. */
int tess_store_finish(struct tess_store *store, struct tess_error *error);
/* Closes; an unfinished new store is removed. May run twice. Collective. */
void tess_store_release(struct tess_store *store);

/* Replace the split of a store (n_experiments entries), in place: contiguous datasets of fixed
 * size, so that nothing else of the file is touched, and last its checksum, by which one that was
 * cut short is found. `method` says in words how it was made.
 * Collective over comm. */
int tess_store_write_split(const char *path, MPI_Comm comm, const int8_t *split, int64_t n,
                           const char *method, struct tess_error *error);

#endif
