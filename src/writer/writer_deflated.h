/* writer_deflated.h -- matrices that a file holds as deflated chunks of whole rows (h5_packed.h).
 *
 * Where a chunk ends in the file is known only once all before it are deflated, and HDF5 cannot be
 * gone on with after a kill. So until the file is whole, its part has a slot of fixed size for each
 * chunk behind the labels, with as much in it as the chunk has bytes: the rest of a slot was never
 * written and takes no room on the disk. At the end one rank copies the labels and puts the chunks
 * into that copy, one after the other: this reads and writes what was deflated, computes nothing,
 * and is done again from its beginning if it was interrupted. */
#ifndef WRITER_DEFLATED_H
#define WRITER_DEFLATED_H

#include "tessera/writer.h"

/* Bytes that the slots of such a matrix take in the part, were none of them empty. Local. */
int64_t tess_deflated_bytes(const struct tess_writer_place *matrix, int64_t rows);

/* Notes a matrix of that dataset, which was defined as an empty one. Local. */
void tess_deflated_note(struct tess_writer *writer, const struct tess_writer_matrix *matrix,
                        const char *dataset, int element);
/* Labels are in the part: where do the slots begin, and the part end? TESS_EIO. Rank 0. */
int tess_deflated_place(struct tess_writer *writer, struct tess_error *error);
/* As tess_writer_put_rows, but that nothing of `value` is borrowed: it is deflated here, by the
 * threads of OpenMP. Local. */
int tess_deflated_put(struct tess_writer *writer, const struct tess_writer_place *matrix,
                      int64_t first, int64_t n, const void *value, struct tess_error *error);
/* All rows are in the part: makes the whole file, marked as unfinished, and the writer's commit
 * that of it. TESS_EDATA if a chunk is not there, TESS_EINTERRUPTED by a signal. Collective. */
int tess_deflated_finish(struct tess_writer *writer, struct tess_error *error);
void tess_deflated_release(struct tess_writer *writer); /* may run twice */

#endif
