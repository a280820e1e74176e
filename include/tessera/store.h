/* store.h -- the store (`*.prc.h5`): experiments over panels of readouts, ready for training.
 *
 * Everything but the values (the index) is small and is the same on every rank; values are read
 * where they are needed. Experiments are sorted by (context, panel, combination, split, replicate),
 * so that a lane's values are one contiguous piece of the file. The layout on disk is described in
 * docs/formats.md. */
#ifndef TESSERA_STORE_H
#define TESSERA_STORE_H

#include "tessera/commit.h"
#include "tessera/h5.h"
#include "tessera/sets.h"
#include "tessera/vocab.h"

#include <stdint.h>

#define TESS_CONTROL     "control" /* the reserved perturbation symbol                        */
#define TESS_STORE_FOLDS 8         /* at most so many parts keep the replicates of an experiment */

enum tess_split { TESS_TRAIN, TESS_VAL, TESS_TEST, TESS_UNUSED };

/* "train", "val", "test", "unused" in any case ("training", "validation", "valid" and "" are read
 * too); -1 if it is none. */
int tess_split_parse(const char *text);
const char *tess_split_name(int split);

struct tess_index {                 /* all arrays own */
    struct tess_vocab perturbation; /* components, control among them                         */
    struct tess_vocab readout, context;
    int64_t n_combinations;      /* distinct sets of components that experiments use              */
    int64_t *combination_first;  /* (n_combinations + 1) into combination_member              */
    int64_t *combination_member; /* perturbation numbers, ascending within a combination;
                                    combinations are in lexicographic order of their members  */
    int64_t n_panels;
    int64_t *panel_first;   /* (n_panels + 1) into panel_readout                              */
    int64_t *panel_readout; /* readout numbers, ascending within a panel; panels are in
                               lexicographic order                                            */
    int64_t n_experiments;
    int64_t *combination;  /* (n_experiments)                                                 */
    int64_t *context_of;   /* (n_experiments)                                                 */
    int64_t *panel;        /* (n_experiments)                                                 */
    int8_t *split;         /* (n_experiments) enum tess_split                                 */
    int64_t *n_replicates; /* (n_experiments) rows averaged into it, at least 1               */
    int64_t *n_observed;   /* (n_experiments) values that are not NaN                         */
    int64_t *value_first;  /* (n_experiments + 1) into the values; follows from the panels    */
    /* Folds: the means of disjoint parts of an experiment's replicates, over its panel; none
     * where there is a single replicate. With at most TESS_STORE_FOLDS replicates each is a fold.
     */
    int64_t *fold_first;       /* (n_experiments + 1) fold numbers of an experiment            */
    int64_t *fold_replicates;  /* (n_folds) replicates in it                                   */
    int64_t *fold_value_first; /* (n_folds + 1) into the fold values; follows                 */
    int64_t control;           /* perturbation number of TESS_CONTROL, or -1                  */
    uint64_t hash;             /* of everything but the split; 0 until written                */
    uint64_t split_hash;
};

/* Fills value_first, fold_value_first and control from the rest. Local. */
void tess_index_finish(struct tess_index *index);
/* Numbers in range, orders as documented: TESS_EDATA with `path` and the place otherwise. Local. */
int tess_index_check(const struct tess_index *index, const char *path, struct tess_error *error);
void tess_index_release(struct tess_index *index);

/* "A+B" of a combination; own of the caller. Local. */
char *tess_index_combination_name(const struct tess_index *index, int64_t combination);
/* The combinations as sets, sorted; borrowed: not to be changed or released. Local. */
struct tess_sets tess_index_combinations(const struct tess_index *index);
/* The combination of exactly these members, ascending, or -1. Local. */
int64_t tess_index_find(const struct tess_index *index, int64_t n, const int64_t *member);
/* The combination that a text names, as tess_combination_parse reads it, or -1. The parts that are
 * unknown are added to `unknown` (may be NULL): none if only their combination is. Local. */
struct tess_strings;
int64_t tess_index_find_text(const struct tess_index *index, const struct tess_strings *control,
                             const char *text, struct tess_strings *unknown);
/* Measured values of a split's experiments (enum tess_split), or of all (-1). Local. */
int64_t tess_index_observed(const struct tess_index *index, int split);
/* Is it the control (its only member)? Local. */
int tess_index_is_control(const struct tess_index *index, int64_t combination);

/* Reads "A+B+…" against a vocabulary: member numbers, ascending, repeats and controls (beside
 * others) dropped. A symbol may hold a plus of its own: the whole text and then the longest known
 * pieces are tried first. Blanks around a piece do not count, and `ctrl` and the names in `control`
 * (may be NULL) are the control where they are no symbols of their own. member: room for as many as
 * the text has pluses, plus one. Returns the number of members, or 0 if a part is unknown (its text
 * added to `unknown`, which may be NULL). Local. */
int tess_combination_parse(const struct tess_vocab *perturbation,
                           const struct tess_strings *control, const char *text, int64_t *member,
                           struct tess_strings *unknown);
/* n members in any order into those that count: ascending, repeats and the control (beside others)
 * dropped; how many are left. control: its number, or -1. Local. */
int64_t tess_combination_tidy(int64_t control, int64_t n, int64_t *member);

#define TESS_STORE_READ_BYTES ((double)(4 << 20)) /* that reading values takes */

struct tess_store_block { /* values under one checksum, verified */
    int64_t number;
    float *value; /* own; NULL: none was read */
};

#define TESS_SPLIT_METHOD 1024 /* bytes of the words that say how a split was made */

struct tess_store {
    struct tess_h5 h5;
    struct tess_index index;              /* own */
    struct tess_commit commit;            /* while writing */
    MPI_Comm comm;                        /* borrowed */
    char split_method[TESS_SPLIT_METHOD]; /* while writing: may be set before finish */
    int64_t n_checks[2];                  /* blocks of the values and of the fold values */
    uint64_t *check[2];                   /* their checksums; own */
    struct tess_store_block *block;       /* (2) the last block read of each; own */
    uint8_t *verified[2];                 /* blocks that were once found intact; own */
};

/* Does the file say that it is one? Never fails. Local. */
int tess_store_is(const char *path);
/* Rank 0 reads the index, all get it; then every rank can read values. TESS_EDATA if it is no
 * store, of a newer version, or inconsistent. Collective over comm. */
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

/* A new store, written aside; takes over `index` (the same on every rank, finished; emptied).
 * Collective over comm. */
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
 * into place. Collective. */
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
