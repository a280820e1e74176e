/* writer.h -- an output file of any kind: a labelled matrix, rows (cells, profiles, experiments) ×
 * readouts, written by all ranks of a communicator. The mirror of source.h.
 *
 * Each kind fills one table of functions; the ending of the file's name chooses it. Here stands
 * what all kinds share: the file is written aside and gets its name when it is whole, with
 * checksums beside it if they are asked for.
 *
 * The order is: open; names of both axes; columns and notes; then define the matrix (and layers),
 * put rows in any order from any rank, settle; finish. An output that may be written in several
 * goes (shape.again) is sealed before the first row is put: from then on it can be saved, and
 * opened again after an interruption, with `sealed` set and rows before `finished` in it. Calls are
 * collective over the writer's communicator and return the same code everywhere, unless they say
 * otherwise. What is given agrees on all ranks, but for rows, which are each rank's own, and names,
 * values of columns and texts, which only rank 0 needs (NULL elsewhere). */
#ifndef TESSERA_WRITER_H
#define TESSERA_WRITER_H

#include "tessera/commit.h"
#include "tessera/stream.h"
#include "tessera/text.h"
#include "tessera/unfinished.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>

struct tess_deadline;
struct tess_error;
struct tess_h5;
struct tess_deflated;
struct tess_problems;

#define TESS_IMPUTED_FORMAT "tessera-imputed 1" /* the note "format" of what a model predicted */

/* What a file may hold beside one dense matrix of float32; not every kind can. */
enum tess_writer_part {
    TESS_WRITER_LAYERS = 1,
    TESS_WRITER_SPARSE = 2,
    TESS_WRITER_HALF = 4, /* values in float16 */
    TESS_WRITER_PACKED = 8 /* values in deflated chunks */
};

enum tess_writer_axis { TESS_WRITER_ROWS, TESS_WRITER_READOUTS };

/* n texts: all there, or made when they are written, block after block in order. Borrowed. */
struct tess_writer_texts {
    int64_t n;
    const char *const *text; /* (n); NULL: they are made */
    int width; /* of those that are made: bytes of the longest */
    /* Texts [first, first + n) into out (n, width), which is all zeroes. */
    void (*make)(const void *closure, int64_t first, int64_t n, int width, char *out);
    const void *closure;
};

/* Metadata of every row, or every readout. */
enum tess_writer_values {
    TESS_WRITER_CODES, /* int32_t into categories, -1: missing */
    TESS_WRITER_FLAGS, /* uint8_t, 0 or 1 */
    TESS_WRITER_INTEGERS, /* int64_t */
    TESS_WRITER_REALS, /* double */
    TESS_WRITER_WORDS /* a text of each: `texts` */
};
struct tess_writer_column {
    const char *name;
    enum tess_writer_values type;
    const void *value; /* NULL: they are made */
    int64_t n_categories; /* of codes */
    const char *const *category;
    const struct tess_writer_texts *texts; /* categories in place of these two; words */
    /* Values [first, first + n), block after block in order. */
    void (*make)(const void *closure, int64_t first, int64_t n, void *out);
    const void *closure;
};

/* A remark on the whole file: a text, a number, or a list of n texts. */
enum tess_writer_note_type { TESS_WRITER_TEXT, TESS_WRITER_NUMBER, TESS_WRITER_TEXTS };
struct tess_writer_note {
    enum tess_writer_note_type type;
    double number;
    int64_t n;
    const char *const *text;
};

/* What rows are put into. `layer` NULL: the matrix itself; "obs/NAME": a column of the rows, one
 * value each; "obsm/NAME": some values each; else a layer of that name. */
enum tess_writer_element { TESS_WRITER_FLOAT32, TESS_WRITER_FLOAT16, TESS_WRITER_BYTES };
struct tess_writer_matrix {
    const char *layer;
    enum tess_writer_element element;
    int64_t n_columns;
};
#define TESS_WRITER_OBS  "obs/" /* what the name of a column begins with */
#define TESS_WRITER_OBSM "obsm/" /* and that of a matrix beside the main one */

/* Rows [first, first + n) of a sparse matrix: indptr (n + 1) from 0; the first of their values is
 * number `first_value` of all. */
struct tess_writer_sparse {
    int64_t first, n, first_value;
    const int64_t *indptr;
    const int32_t *index;
    const float *value;
};

/* One matrix of a file, read back as an input: of n_ranks, this one's share of the rows. */
struct tess_writer_look {
    const char *path, *modality, *layer; /* NULL: no MuData; the matrix itself */
    int rank, n_ranks;
    int columns; /* rank 0 reads the columns of metadata, too */
    int predicted; /* by a model: values are finite, deviations (layer "std") not negative */
    int gaps; /* NaN is what was not asked for */
};

struct tess_writer;
struct tess_writer_type {
    const char *name; /* "AnnData" */
    const char *ending; /* ".h5ad" */
    unsigned parts; /* the tess_writer_part that it can hold */
    /* All ranks come to each of these, but for put_rows, and each may fail on any of them alone:
     * the functions below agree on it afterwards. Within one, nothing is communicated after a rank
     * may have failed without an agreement of its own. `open` opens commit.aside, which is there
     * and empty, and sets `state`. put_rows may give the values to the writer's stream. */
    int (*open)(struct tess_writer *writer, struct tess_error *error);
    int (*write_names)(struct tess_writer *writer, enum tess_writer_axis axis,
                       const struct tess_writer_texts *name, struct tess_error *error);
    /* NULL: the format has no place for columns, or for notes; they are left out */
    int (*write_column)(struct tess_writer *writer, enum tess_writer_axis axis,
                        const struct tess_writer_column *column, struct tess_error *error);
    int (*write_note)(struct tess_writer *writer, const char *path,
                      const struct tess_writer_note *note, struct tess_error *error);
    /* NULL: there is nothing to prepare. Says where the matrix lies (tess_writer_note_matrix) if it
     * is one piece of the file in which rows are one, which needs no handle but the stream's:
     * without that the file cannot be gone on with. */
    int (*define_matrix)(struct tess_writer *writer, const struct tess_writer_matrix *matrix,
                         struct tess_error *error);
    int (*put_rows)(struct tess_writer *writer, const char *layer, int64_t first, int64_t n,
                    const void *value, struct tess_error *error);
    /* NULL: ranks only agree */
    int (*settle)(struct tess_writer *writer, struct tess_error *error);
    /* NULL without TESS_WRITER_SPARSE */
    int (*define_sparse)(struct tess_writer *writer, int64_t n_values, struct tess_error *error);
    int (*write_sparse)(struct tess_writer *writer, const struct tess_writer_sparse *rows,
                        struct tess_error *error);
    /* Completes and closes the file. Rows may still be put, into matrices that were noted. */
    int (*finish)(struct tess_writer *writer, struct tess_error *error);
    /* Closes what is open and frees `state`; called if that is not NULL. Collective, for a type may
     * close a file of all ranks. */
    void (*release)(struct tess_writer *writer);
    /* Is an HDF5 file of this kind? Local. NULL: it is none of HDF5, the name's ending tells. */
    int (*recognize)(const struct tess_h5 *h5, struct tess_error *error);
    /* What tess_writer_describe and tess_writer_verify say of a file. NULL: what reading it back as
     * an input says */
    json_t *(*describe)(const char *path, struct tess_error *error);
    int (*verify)(const struct tess_writer_look *look, struct tess_problems *problems,
                  struct tess_error *error);
};

/* Where the seconds of a file went, on this rank. */
struct tess_writer_times {
    struct tess_stream_times stream;
    double close; /* until all of it is on the disk */
    double commit; /* sidecar and name */
};

/* Of an output that is written in several goes, or is there already. */
struct tess_writer_again {
    const json_t *key; /* what decides values, labels and layout: an object of texts. Borrowed */
    const char *machine; /* what else decides bits: the kernels. Borrowed */
    int replace; /* an output that is there */
    int fresh; /* nothing is gone on with */
    int keep_same; /* what has this key is not replaced, unless fresh: one file of several */
};

/* Matrices are shuffled and deflated, in chunks of whole rows. */
struct tess_writer_packing {
    int level; /* of deflation, 1 to 9; 0: they are not */
    int64_t rows; /* of a chunk; what is put begins and ends at its multiples, or with the last row
                   */
};
/* Rows of a chunk that suit: as many as 1 MB of whole rows has, 4096 at most, `tile` rows doubled
 * or halved until they do; no more than there are. Readers ask for rows, and keep a chunk of that
 * size. Local. */
int64_t tess_writer_chunk_rows(int64_t n_rows, int64_t row_bytes, int64_t tile);
/* Memory of a rank that deflates such chunks, on its threads. Local. */
double tess_writer_packing_bytes(int64_t chunk_bytes);

/* What is to be written. */
struct tess_writer_shape {
    const struct tess_writer_type *type; /* NULL: as the name's ending says */
    int64_t n_rows, n_readouts;
    unsigned parts; /* those of tess_writer_part that will be used */
    struct tess_writer_packing packing; /* only with `again` */
    /* When putting together what is packed must be over, as signals do: TESS_EINTERRUPTED. NULL:
     * never. Borrowed */
    const struct tess_deadline *deadline;
    struct tess_writer_times
        *times; /* filled in by tess_writer_finish; NULL: nobody asks. Borrowed */
    /* NULL: in one go; an output that is there is replaced. Borrowed until the writer is open */
    const struct tess_writer_again *again;
};

struct tess_writer {
    const struct tess_writer_type *type; /* borrowed; NULL: closed */
    struct tess_commit commit; /* `aside` is where the type writes */
    struct tess_stream stream; /* into the same file, for rows whose place in it is known */
    MPI_Comm comm; /* borrowed */
    int rank;
    int64_t n_rows, n_readouts;
    unsigned parts;
    struct tess_writer_packing packing;
    const struct tess_deadline *deadline; /* borrowed; NULL */
    struct tess_deflated *deflated; /* what deflating takes; NULL: nothing yet; own */
    struct tess_writer_times *times; /* borrowed; NULL */
    struct tess_unfinished *unfinished; /* rank 0, if it is written in several goes; own */
    int whole; /* the output is there already, of the same key: nothing is to be written */
    int sealed; /* labels are in it, and the file is closed: rows may be put */
    int64_t finished; /* rows that are there already, saved by an earlier go */
    int n_matrices; /* that were noted */
    struct tess_writer_place matrix[TESS_WRITER_MATRICES];
    void *state; /* the kind's own; NULL: nothing to release */
};

extern const struct tess_writer_type *const tess_writer_types[];
extern const int tess_n_writer_types;

/* Number of the kind of file that a name promises by its ending, if that can hold all `parts`; else
 * -1. Local. */
int tess_writer_find(const char *path, unsigned parts);
/* The kind whose ending is ".FORMAT"; NULL: there is none. Local. */
const struct tess_writer_type *tess_writer_format(const char *format);
/* Of a kind that is asked for by its format: TESS_EUSAGE if there is none, or it cannot hold all
 * `parts`. `option` is what it was given to. Local. */
int tess_writer_check_format(const char *option, const char *format, unsigned parts,
                             struct tess_error *error);
/* Names, or endings, of the kinds that can hold all `parts`; own of the caller. Local. */
char *tess_writer_names(unsigned parts, const char *separator);
char *tess_writer_endings(unsigned parts, const char *separator);
/* Before any work: TESS_EUSAGE, with what would do, if the name promises no kind of file, or one
 * that cannot hold all `parts`. `option` is what the path was given to. Local. */
int tess_writer_check(const char *option, const char *path, unsigned parts,
                      struct tess_error *error);

/* What is there of an output of that name and shape (`again` given): as tess_unfinished_look says,
 * which is to be released. Nothing is changed. Local. */
int tess_writer_look(struct tess_unfinished *there, const char *path,
                     const struct tess_writer_shape *shape, struct tess_error *error);

/* Where a matrix of a kind lies; and that of a name, NULL: it was not noted. Local. */
void tess_writer_note_matrix(struct tess_writer *writer, const char *layer, int64_t place,
                             int64_t bytes);
const struct tess_writer_place *tess_writer_find_matrix(const struct tess_writer *writer,
                                                        const char *layer);

/* TESS_EUSAGE as above; TESS_ECREATE if the file cannot be created. With shape->again also what
 * tess_unfinished_open says (unfinished.h); then look at `whole` and `sealed`. */
int tess_writer_open(struct tess_writer *writer, const char *path,
                     const struct tess_writer_shape *shape, MPI_Comm comm,
                     struct tess_error *error);
/* n_rows or n_readouts names. */
int tess_writer_write_names(struct tess_writer *writer, enum tess_writer_axis axis,
                            const char *const *name, struct tess_error *error);
/* The same of names that are made as they are needed: no rank holds all of them. */
int tess_writer_make_names(struct tess_writer *writer, enum tess_writer_axis axis,
                           const struct tess_writer_texts *name, struct tess_error *error);
int tess_writer_write_column(struct tess_writer *writer, enum tess_writer_axis axis,
                             const struct tess_writer_column *column, struct tess_error *error);
/* The columns that our files have, of rows: codes, and flags. */
int tess_writer_write_codes(struct tess_writer *writer, const char *name, int64_t n_categories,
                            const char *const *category, const int32_t *code,
                            struct tess_error *error);
int tess_writer_write_flags(struct tess_writer *writer, const char *name, const uint8_t *flag,
                            struct tess_error *error);
/* And words that are made as they are needed; name NULL: the names of the rows. */
int tess_writer_write_words(struct tess_writer *writer, const char *name,
                            const struct tess_writer_texts *word, struct tess_error *error);
/* Notes under a path ("provenance/command"). */
int tess_writer_write_text(struct tess_writer *writer, const char *path, const char *text,
                           struct tess_error *error);
int tess_writer_write_number(struct tess_writer *writer, const char *path, double x,
                             struct tess_error *error);
int tess_writer_write_texts(struct tess_writer *writer, const char *path, int64_t n,
                            const char *const *text, struct tess_error *error);
/* The dense matrix (`layer` NULL) or a layer of that name: float32, or float16 if the parts of the
 * file's shape say so; NaN is missing. */
int tess_writer_define_matrix(struct tess_writer *writer, const char *layer,
                              struct tess_error *error);
/* A layer of bytes, 0 or 1. */
int tess_writer_define_marks(struct tess_writer *writer, const char *layer,
                             struct tess_error *error);
/* A column of the rows, "obs/NAME", of float32: its values are put as rows of one. */
int tess_writer_define_column(struct tess_writer *writer, const char *layer,
                              struct tess_error *error);
/* Several values of float32 of each row, "obsm/NAME". */
int tess_writer_define_places(struct tess_writer *writer, const char *layer, int64_t n_columns,
                              struct tess_error *error);
/* Rows [first, first + n) of one of these, as their type is; every row once. They may be written
 * while the caller goes on: `value` is borrowed until tess_writer_wait or tess_writer_settle. Not
 * collective: a stream of rows, with no rank waiting for another; each keeps its own error until
 * they settle. */
int tess_writer_put_rows(struct tess_writer *writer, const char *layer, int64_t first, int64_t n,
                         const void *value, struct tess_error *error);
/* Until rows that were put from `value` are written, if any were: it may be filled again. Local. */
void tess_writer_wait(struct tess_writer *writer, const void *value);
/* All ranks are through with their rows: do they agree that it went well? */
int tess_writer_settle(struct tess_writer *writer, struct tess_error *error);
/* Names, columns, notes and matrices are all there: what was put from here on can be saved. Nothing
 * happens without shape->again, or where the kind cannot (`sealed` says). */
int tess_writer_seal(struct tess_writer *writer, struct tess_error *error);
/* Rows before `finished` were put by all ranks: brings them to the disk, and notes it. An error is
 * the same on all ranks; what was saved before stands. Nothing happens if it is not sealed. */
int tess_writer_save(struct tess_writer *writer, int64_t finished, struct tess_error *error);
/* In place of the dense one a sparse matrix of n_values values in all; then rows, each rank its
 * own. */
int tess_writer_define_sparse(struct tess_writer *writer, int64_t n_values,
                              struct tess_error *error);
int tess_writer_write_sparse(struct tess_writer *writer, const struct tess_writer_sparse *rows,
                             struct tess_error *error);
/* Gives the file its name, and with `sums` a sidecar of checksums (checksums.h); releases the
 * writer. */
int tess_writer_finish(struct tess_writer *writer, int sums, struct tess_error *error);
/* Closes; removes what was not finished, unless it is sealed. Zeroes are fine, and it may run
 * twice. Collective, as a kind may close a file of all ranks. */
void tess_writer_release(struct tess_writer *writer);

/* What a file of that kind holds, for `tessera info`; own of the caller, NULL and an error if it
 * cannot be read. Local. */
json_t *tess_writer_describe(const struct tess_writer_type *type, const char *path,
                             struct tess_error *error);
/* Structure and values of a file, for `tessera verify`; of n_ranks, this one's share of the rows.
 * What is wrong is added to `problem`. Local. */
int tess_writer_verify(const struct tess_writer_type *type, const char *path, int rank, int n_ranks,
                       struct tess_strings *problem, struct tess_error *error);

#endif
