/* split.c -- tables of splits: perturbation, context, split. What is read is written and read
 * again. */
#include "fuzz.h"

#include "../sample.h"
#include "tessera/error.h"
#include "tessera/split.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

void fuzz_one(const uint8_t *data, size_t n)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_index index;
    char method[TESS_SPLIT_METHOD], again[TESS_SPLIT_METHOD];
    int8_t split[6], back[6];

    sample_index(&index);
    if (tess_split_read(&index, fuzz_file("split.tsv", data, n), split, method, &error) ==
        TESS_OK) {
        const char *path = fuzz_file("again.tsv", "", 0);

        FUZZ_CHECK(tess_split_write(&index, split, path, &error) == TESS_OK);
        FUZZ_CHECK(tess_split_read(&index, path, back, again, &error) == TESS_OK);
        FUZZ_CHECK(memcmp(split, back, sizeof split) == 0);
    } else
        fuzz_refused(&error, TESS_EDATA, "split.tsv");
    tess_index_release(&index);
}
