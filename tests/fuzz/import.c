/* import.c -- a table as `tessera check` looks at it: columns of doses, times, replicates, weights
 * and splits become symbols and experiments. The first two bytes choose options. */
#include "fuzz.h"

#include "tessera/error.h"
#include "tessera/import.h"
#include "tessera/problems.h"

#include <stdio.h>
#include <string.h>

const int fuzz_needs = FUZZ_MPI;

static void choose(struct tess_import_options *options, unsigned chosen)
{
    struct tess_source_options *source = &options->source;

    if (chosen & 1)
        source->dose = "dose";
    if (chosen & 2)
        source->time = "time";
    if (chosen & 4)
        source->replicate = "plate";
    if (chosen & 8)
        source->weight = "weight";
    if (chosen & 16)
        options->dose_unit = "uM";
    if (chosen & 32)
        options->time_unit = "h";
    if (chosen & 64)
        tess_strings_add(&options->dose_levels, "Low=1");
    if (chosen & 128) {
        tess_strings_add(&source->combine, "perturbation");
        tess_strings_add(&source->combine, "other");
    } else
        tess_strings_add(&source->perturbation, "perturbation");
    if (chosen & 256)
        options->separator = ";";
    if (chosen & 512)
        options->plus_literal_all = 1;
    if (chosen & 1024)
        options->log1p = 1;
    if (chosen & 2048)
        options->normalize_total = 1e4;
    if (chosen & 4096)
        options->drop_unlabelled = 1;
    options->aggregate = (int)(chosen >> 13 & 3) % 3;
    source->find_split = !(chosen & 32768);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_import_options options = {.memory = 1 << 24, .n_files = 1};
    struct tess_problems problems = {.limit = 20};
    struct tess_import_result result = {.n_rows = 0};
    struct tess_error error = TESS_ERROR_INIT;
    char path[256], *files[] = {path};

    choose(&options, chosen | fuzz_take(&data, &n) << 8);
    tess_strings_add(&options.source.context, "context");
    tess_strings_add(&options.control.name, "DMSO");
    tess_strings_add(&options.control.given, "DMSO");
    snprintf(path, sizeof path, "%s", fuzz_file("table.tsv", data, n));
    options.file = files;
    if (tess_import_run(&options, NULL, &problems, &result, &error) != TESS_OK)
        fuzz_refused(&error, TESS_EUSAGE, NULL);
    else if (problems.n == 0)
        FUZZ_CHECK(result.summary.n_experiments > 0 && result.n_rows > 0);
    for (size_t i = 0; i < problems.text.n; i++)
        FUZZ_CHECK(problems.text.item[i][0] && !strchr(problems.text.item[i], '\n'));
    tess_import_result_release(&result);
    tess_problems_release(&problems);
    tess_strings_release(&options.source.combine);
    tess_strings_release(&options.source.perturbation);
    tess_strings_release(&options.source.context);
    tess_strings_release(&options.control.name);
    tess_strings_release(&options.control.given);
    tess_strings_release(&options.dose_levels);
}
