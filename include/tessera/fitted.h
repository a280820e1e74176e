/* fitted.h -- what a training has fitted at its end, kept as a small JSON file of its run: written
 * as a whole, read with a sentence for whatever is wrong with it. Local. */
#ifndef TESSERA_FITTED_H
#define TESSERA_FITTED_H

#include <jansson.h>
#include <stdint.h>

struct tess_error;

/* A hash as its 16 digits, and back: 1, or 0 if it is none. */
json_t *tess_fitted_hash(uint64_t hash);
int tess_fitted_parse_hash(const char *text, uint64_t *hash);
/* The file NAME of a run directory. Doubles are read back as they were. */
int tess_fitted_write(const char *directory, const char *name, const json_t *json,
                      struct tess_error *error);
/* `parse` takes it into `out` and returns what is wrong with it, or NULL. TESS_EDATA with
 * that; *there = 0, and no error, if there is no such file. */
struct tess_fitted_parser {
    const char *(*parse)(json_t *json, void *out);
    void *out;
};
int tess_fitted_read(const char *directory, const char *name,
                     const struct tess_fitted_parser *parser, int *there, struct tess_error *error);

#endif
