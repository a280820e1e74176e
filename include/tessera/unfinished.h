/* unfinished.h -- an output that is written in more than one go, and what lies beside it meanwhile:
 *   OUT.part       the file itself: labels are whole, values are there up to some row. Its first
 *                  bytes are TESS_COMMIT_MARK (commit.h), so that nobody takes it for a whole one
 *   OUT.part.json  the record: how far it is, and of what it is made
 *   OUT.part.lock  is locked by who writes it
 *   OUT.part.deflated  of one whose values are deflated: the whole file while it is put together
 * Rows are finished in their order, so one number says which are, whoever has written them.
 *
 * Local, unless it says otherwise; of many ranks, rank 0 does all of it. */
#ifndef TESSERA_UNFINISHED_H
#define TESSERA_UNFINISHED_H

#include "tessera/commit.h"

#include <jansson.h>
#include <stdint.h>

struct tess_error;

#define TESS_UNFINISHED_FORMAT   "tessera-unfinished 1" /* of NAME.part.json */
#define TESS_UNFINISHED_DEFLATED "deflated"

/* Where a matrix lies in a file. */
#define TESS_WRITER_MATRICES 8
struct tess_writer_place {
    char layer[64]; /* "": the matrix itself */
    int64_t place, bytes;
    /* of one that waits as deflated chunks (src/writer/writer_deflated.h); chunk_rows 0: it is no
     * such */
    char dataset[96]; /* of the whole file, which it goes into */
    int64_t chunk_rows, row_bytes;
    int element; /* bytes of a value */
};

/* What OUT.part.json says. */
struct tess_record {
    char kind[64]; /* of file, "AnnData" */
    char machine[64]; /* kernels that computed its values: with others the bits differ */
    json_t *key; /* of what it is made: an object of texts; own */
    int64_t rows, finished; /* finished -1: begun, its labels are not whole */
    int64_t bytes; /* of the part */
    uint64_t labels; /* hash of all of it but the matrices */
    char head[TESS_COMMIT_MARK_SIZE]; /* the first bytes of the whole file */
    int n_matrices;
    struct tess_writer_place matrix[TESS_WRITER_MATRICES];
};

/* Of the part at `part`. TESS_EDATA if it is missing, damaged, or of another program. */
int tess_record_read(struct tess_record *record, const char *part, struct tess_error *error);
/* Replaces the one that is there. TESS_ECREATE, TESS_EIO. */
int tess_record_write(const struct tess_record *record, const char *part, struct tess_error *error);
void tess_record_release(struct tess_record *record);
/* Is the part as the record says: its size, its first bytes, its labels? TESS_EDATA. */
int tess_record_check(const struct tess_record *record, const char *part, struct tess_error *error);
/* The part's labels are whole and on the disk: takes its size, first bytes and labels' hash, and
 * marks it as unfinished. TESS_EIO. */
int tess_record_seal(struct tess_record *record, const char *part, struct tess_error *error);
/* Marks it again: its end may have come when it was to get its name. TESS_EIO. */
int tess_record_mark(const char *part, struct tess_error *error);
/* "kind of store: a (now b), …": what differs between two keys; NULL: nothing. Own of the caller.
 */
char *tess_record_differences(const json_t *then, const json_t *now);

/* Is this such a part, by its mark or by the record beside it? */
int tess_unfinished_is(const char *path);

enum tess_unfinished_state {
    TESS_UNFINISHED_NONE, /* nothing is there: it is to be begun */
    TESS_UNFINISHED_PART, /* record and part are there, and right: it can be gone on with */
    TESS_UNFINISHED_WHOLE /* the output is there, of the same key */
};

struct tess_unfinished {
    char *output, *part; /* own */
    int lock; /* open file, -1: none */
    int begun; /* by us, and not sealed: goes if it is not finished */
    enum tess_unfinished_state state;
    struct tess_record record; /* as it is, or is to be */
};

/* What is wanted. */
struct tess_unfinished_wish {
    const char *output;
    const json_t *key; /* borrowed */
    int64_t rows;
    const char *kind, *machine;
    json_t *(*describe)(const char *path, struct tess_error *error); /* of a whole output */
    int replace; /* an output that is there */
    int keep_same; /* but not one of this key, unless fresh */
    int fresh; /* nothing is gone on with */
};

/* Looks at what is there, and changes nothing. TESS_ECREATE if the output exists, is of another key
 * and is not to be replaced; TESS_EUSAGE, with what differs, if the part is of another key;
 * TESS_EDATA if part or record is damaged or somebody else's. Another machine is a warning. */
int tess_unfinished_look(struct tess_unfinished *unfinished,
                         const struct tess_unfinished_wish *wish, struct tess_error *error);
/* The same under the lock, which is kept; then begins (an empty part, a record) what cannot be gone
 * on with. Besides TESS_ECREATE if another program writes it, TESS_EINTERRUPTED if a signal comes
 * while waiting for that one's end. */
int tess_unfinished_open(struct tess_unfinished *unfinished,
                         const struct tess_unfinished_wish *wish, struct tess_error *error);
/* The output has its name: record and part go. */
void tess_unfinished_finish(struct tess_unfinished *unfinished);
/* Gives back the lock; what was only begun goes. May run twice. */
void tess_unfinished_release(struct tess_unfinished *unfinished);

#endif
