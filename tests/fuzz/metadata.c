/* metadata.c -- --metadata: a table with a line for each row of another one. The first byte chooses
 * the column of ids. */
#include "fuzz.h"

#include "tessera/error.h"
#include "tessera/source_open.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

static const char values[] = "id,r1,r2\na,1,2\nb,3,4\nc,5,6\n";

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_source_options options = {.metadata_id = chosen & 1 ? "sig_id" : NULL};
    struct tess_problems problems = {.limit = 20};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_source source = {0};
    char metadata[256];

    snprintf(metadata, sizeof metadata, "%s", fuzz_file("metadata.tsv", data, n));
    options.metadata = metadata;
    tess_strings_add(&options.id_columns, "id");
    if (tess_source_open(&source, fuzz_file("values.csv", values, sizeof values - 1), &options,
                         &problems, &error) == TESS_OK) {
        for (size_t i = 0; i < source.column.n && error.code == TESS_OK; i++) {
            struct tess_column column = {0};

            tess_source_read_column(&source, source.column.item[i], &column, &error);
            tess_column_release(&column);
        }
        tess_source_release(&source);
    }
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_EUSAGE, NULL);
    tess_problems_release(&problems);
    tess_strings_release(&options.id_columns);
}
