/* writer_verify.h -- a file that was written, read back as an input. */
#ifndef WRITER_VERIFY_H
#define WRITER_VERIFY_H

#include "tessera/writer.h"

/* The `verify` of kinds that have none of their own. Local. */
int tess_writer_read_back(const struct tess_writer_look *look, struct tess_problems *problems,
                          struct tess_error *error);

/* TESS_EDATA if the notes of a file (those of `describe`) say that it is an imputed file of another
 * version; one that says nothing is from before there were versions, and like the first. Local. */
int tess_writer_check_version(const char *path, const json_t *notes, struct tess_error *error);

/* The `describe` of kinds that have none of their own; NULL and an error. Own of the caller. Local.
 */
json_t *tess_writer_read_about(const char *path, struct tess_error *error);

#endif
