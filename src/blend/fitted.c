/* fitted.c -- small JSON files of a run directory. */
#include "tessera/fitted.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *tess_fitted_hash(uint64_t hash)
{
    return json_sprintf("%016" PRIx64, hash);
}

int tess_fitted_parse_hash(const char *text, uint64_t *hash)
{
    int end = 0;

    return strlen(text) == 16 && sscanf(text, "%16" SCNx64 "%n", hash, &end) == 1 && end == 16;
}

int tess_fitted_write(const char *directory, const char *name, const json_t *json,
                      struct tess_error *error)
{
    char *path = tess_format("%s/%s", directory, name), *lines;
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17));

    lines = tess_format("%s\n", text ? text : "");
    tess_commit_text(path, lines, error);
    free(text); /* Jansson's own */
    tess_free(lines);
    tess_free(path);
    return error->code;
}

int tess_fitted_read(const char *directory, const char *name,
                     const struct tess_fitted_parser *parser, int *there, struct tess_error *error)
{
    char *path = tess_format("%s/%s", directory, name);
    const char *wrong = NULL;

    *there = access(path, F_OK) == 0;
    if (*there) {
        json_t *json = json_load_file(path, 0, NULL);

        wrong = json ? parser->parse(json, parser->out) : "is no JSON";
        json_decref(json);
    }
    if (wrong)
        tess_error_set(error, TESS_EDATA,
                       "%s: %s: remove it and run 'tessera train' again, which makes it anew", path,
                       wrong);
    tess_free(path);
    return error->code;
}
