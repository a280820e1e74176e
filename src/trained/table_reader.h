/* table_reader.h -- rows of a checkpoint's table, as they stand at its step, read when they are
 * first asked for and kept as long as there is room. Local but for opening; one thread at a time.
 */
#ifndef TABLE_READER_H
#define TABLE_READER_H

#include "tessera/state.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

#define TESS_TABLE_READER_ROWS  64 /* read and kept together: a page */
#define TESS_TABLE_READER_BYTES 1e9 /* what is kept unless another allowance is given */

struct tess_table_reader {
    struct tess_h5 h5; /* own */
    struct tess_state state; /* shape, sizes and rates: what reading rows goes by; own */
    enum tess_embedding table;
    int64_t n_pages, n_slots; /* slots: pages that may be kept */
    int64_t *slot_of; /* (n_pages) slot + 1, 0: not kept; own */
    int64_t *page_in; /* (n_slots) page + 1; own */
    float **row; /* (n_slots) (TESS_TABLE_READER_ROWS, D), made at first use; own */
    uint8_t *used; /* (n_slots) since the hand last came by; own */
    int64_t hand; /* of the clock that says which page goes */
};

/* Every rank opens the file by itself. state: rank 0's, as tess_checkpoint_read_head has it, whose
 * settings, shape, sizes and learning rates all get; the others' counts for nothing. Keeps whole
 * pages of at most `bytes`, at least one. To be released in either case. Collective over comm. */
int tess_table_reader_open(struct tess_table_reader *reader, const char *path,
                           const struct tess_state *state, enum tess_embedding table, MPI_Comm comm,
                           struct tess_error *error);
/* From now on pages of at most so many bytes are kept, at least one; what is there goes. */
void tess_table_reader_allow(struct tess_table_reader *reader, double bytes);
double tess_table_reader_bytes(const struct tess_table_reader *reader); /* of all it may keep */
/* Bytes of a page, and of what is read at once while it lasts. */
double tess_table_reader_least(const struct tess_table_reader *reader);
double tess_table_reader_run(const struct tess_table_reader *reader);
/* out (n, D): rows in any order, repeats allowed. TESS_EDATA if the file is damaged. */
int tess_table_reader_rows(struct tess_table_reader *reader, int64_t n, const int64_t *row,
                           float *out, struct tess_error *error);
void tess_table_reader_release(struct tess_table_reader *reader);

#endif
