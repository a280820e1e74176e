/* verify_anndata.c -- AnnData has no checksums: its structure, and that predictions are numbers. */
#include "verify_anndata.h"

#include "tessera/error.h"
#include "tessera/info.h"
#include "tessera/source.h"

#include <math.h>
#include <string.h>

/* Rows [first, end) of X or a layer: a model's predictions are finite, deviations not negative. */
static int check_matrix(struct tess_source *source, int64_t first, int64_t end, int predicted,
                        int positive, struct tess_problems *problems, struct tess_error *error)
{
    struct tess_block block = {0};

    for (int64_t at = first; at < end && error->code == TESS_OK; at += source->rows_at_once) {
        int64_t n = end - at < source->rows_at_once ? end - at : source->rows_at_once;

        if (tess_source_read_rows(source, at, n, &block, problems, error) != TESS_OK)
            break;
        for (int64_t i = 0; block.dense && predicted && i < n * source->n_readouts; i++)
            if (!isfinite(block.dense[i]) || (positive && block.dense[i] < 0)) {
                tess_problems_add(problems, source->path, at + i / source->n_readouts + 1,
                                  source->readout.item[i % source->n_readouts],
                                  positive ? "is no deviation" : "is not finite");
                break;
            }
    }
    tess_block_release(&block);
    return error->code;
}

/* X (layer NULL) or a layer, this rank's rows; rank 0 also every column of obs. Local. */
static int check_layer(const char *path, const char *layer, int rank, int n_ranks, int predicted,
                       struct tess_problems *problems, struct tess_error *error)
{
    struct tess_source_options options = {.layer = layer};
    struct tess_source source;

    if (tess_source_open(&source, path, &options, problems, error) != TESS_OK)
        return error->code;
    check_matrix(&source, source.n_rows * rank / n_ranks, source.n_rows * (rank + 1) / n_ranks,
                 predicted, layer && strcmp(layer, "std") == 0, problems, error);
    for (size_t i = 0; rank == 0 && !layer && i < source.column.n && error->code == TESS_OK; i++) {
        struct tess_column column = {0};

        tess_source_read_column(&source, source.column.item[i], &column, error);
        tess_column_release(&column);
    }
    tess_source_release(&source);
    return error->code;
}

int tess_verify_anndata(const char *path, int rank, int n_ranks, struct tess_strings *problem,
                        struct tess_error *error)
{
    struct tess_problems problems = {.limit = 100};
    json_t *about = tess_info_anndata(path, error), *layers = json_object_get(about, "layers");
    int predicted = json_object_get(json_object_get(about, "uns"), "model_hash") != NULL;

    if (error->code == TESS_OK)
        check_layer(path, NULL, rank, n_ranks, predicted, &problems, error);
    for (size_t i = 0; i < json_array_size(layers) && error->code == TESS_OK; i++)
        check_layer(path, json_string_value(json_array_get(layers, i)), rank, n_ranks, predicted,
                    &problems, error);
    for (size_t i = 0; i < problems.text.n; i++)
        tess_strings_add(problem, problems.text.item[i]);
    json_decref(about);
    tess_problems_release(&problems);
    return error->code;
}
