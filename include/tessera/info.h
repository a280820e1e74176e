/* info.h -- what kind of file it is, what a store holds as ordered JSON, and ordered JSON as plain
 * text. (Checkpoints and labelled matrices describe themselves: checkpoint.h, writer.h.) Local. */
#ifndef TESSERA_INFO_H
#define TESSERA_INFO_H

#include <jansson.h>
#include <stdio.h>

struct tess_error;
struct tess_store;

/* What a file is: from TESS_INFO_MATRIX on it is a labelled matrix, TESS_INFO_MATRIX + i of type
 * tess_writer_types[i]. -1 and TESS_EDATA if it is none of these. */
enum tess_info_kind {
    TESS_INFO_STORE,
    TESS_INFO_CHECKPOINT,
    TESS_INFO_UNFINISHED, /* an imputed file that is not whole */
    TESS_INFO_MATRIX
};
int tess_info_kind(const char *path, struct tess_error *error);

/* A run of several members: what the best checkpoint of each says, and deviation.json. NULL on
 * error. Local. */
json_t *tess_info_members(const char *path, struct tess_error *error);
/* Of an open store, rank 0's: counts, split, hash, one row for every context. Own of the caller. */
json_t *tess_info_store(const struct tess_store *store);

/* How far an unfinished file is, and of what it is made. Own of the caller; NULL and an error if
 * its record cannot be read. */
json_t *tess_info_unfinished(const char *path, struct tess_error *error);

/* One line for every value; objects in objects are indented, lists of objects are tables. */
void tess_info_print(const json_t *json, FILE *out);

#endif
