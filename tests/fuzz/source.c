/* source.c -- tables of values as text: GCT, long and wide tables, matrices, told by content. The
 * first byte chooses options. FUZZ_TABLE is the file's name. */
#include "fuzz.h"
#include "look.h"

#include "tessera/error.h"
#include "tessera/source_open.h"

const int fuzz_needs = FUZZ_NOTHING;

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_source_options options = {.find_split = !(chosen & 1),
                                          .infinite_missing = (chosen & 2) != 0,
                                          .columns = (int)(chosen >> 2 & 3) % 3};
    struct tess_problems problems = {.limit = 20};
    struct tess_error error = TESS_ERROR_INIT;

    if (chosen & 16)
        tess_strings_add(&options.missing, "-666");
    if (chosen & 32)
        tess_strings_add(&options.values, "*x*");
    if (chosen & 64)
        tess_strings_add(&options.id_columns, "id*");
    if (chosen & 128)
        tess_strings_add(&options.context, "cell");
    fuzz_look_at_source(fuzz_file(FUZZ_TABLE, data, n), &options, &problems, &error);
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_EUSAGE, FUZZ_TABLE);
    tess_problems_release(&problems);
    tess_strings_release(&options.missing);
    tess_strings_release(&options.values);
    tess_strings_release(&options.id_columns);
    tess_strings_release(&options.context);
}
