/* versions.c -- libraries, and versions of the formats of files. */
#include "versions.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/blend.h"
#include "tessera/deviation.h"
#include "tessera/state.h"
#include "tessera/store.h"
#include "tessera/sums.h"
#include "tessera/unfinished.h"
#include "tessera/version.h"
#include "tessera/writer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Versions from..to are read; of those what is written is the newest, or what a file needs. */
static void add(json_t *formats, const char *name, int reads_from, int to)
{
    json_t *reads = json_array();

    for (int version = reads_from; version <= to; version++)
        json_array_append_new(reads, json_integer(version));
    json_object_set_new(formats, name, json_pack("{s:i, s:o}", "writes", to, "reads", reads));
}

/* Of texts such as "tessera-blend 1", which name a format and its version. */
static void add_text(json_t *formats, const char *text)
{
    char *name = tess_format("%.*s", (int)strcspn(text, " "), text);
    int version = (int)strtol(text + strlen(name), NULL, 10);

    add(formats, name, version, version);
    tess_free(name);
}

void tess_versions_print_json(FILE *out, const char *commit, const char *scalapack)
{
    json_t *all = tess_version_json(commit), *formats = json_object();
    char *onednn = tess_unit_library();

    add(formats, "tessera-store", 1, TESS_STORE_VERSION);
    add(formats, TESS_STATE_FORMAT, TESS_STATE_VERSION, TESS_STATE_VERSION);
    add_text(formats, TESS_IMPUTED_FORMAT);
    add_text(formats, TESS_SUMS_FORMAT);
    add_text(formats, TESS_UNFINISHED_FORMAT);
    add_text(formats, TESS_BLEND_FORMAT);
    add_text(formats, TESS_DEVIATION_FORMAT);
    json_object_set_new(all, "scalapack", json_string(scalapack));
    json_object_set_new(all, "onednn", onednn ? json_string(onednn) : json_null());
    json_object_set_new(all, "unit", json_string(tess_unit_name(tess_unit())));
    json_object_set_new(all, "formats", formats);
    json_dumpf(all, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(all);
    tess_free(onednn);
}
