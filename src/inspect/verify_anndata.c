/* verify_anndata.c -- AnnData has no checksums: its structure, and that predictions are numbers. */
#include "verify_anndata.h"

#include "tessera/error.h"
#include "tessera/info.h"
#include "tessera/source_open.h"

#include <math.h>
#include <string.h>

/* Rows [first, end) of X or a layer: a model's predictions are finite, deviations not negative. The
 * first bad value of each piece is named, not all. Other files are only read: measured values may
 * be missing. */
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

/* One matrix of a file: X (layer NULL), a layer or raw/X, of a modality (NULL: it is no MuData). */
struct look {
    const char *path, *modality, *layer;
    int rank, n_ranks, predicted;
};

/* This rank's rows; rank 0 also every column of obs, beside the first matrix. Local. */
static int check_layer(const struct look *look, int columns, struct tess_problems *problems,
                       struct tess_error *error)
{
    struct tess_source_options options = {.layer = look->layer, .modality = look->modality};
    struct tess_source source;
    int64_t first, end;

    if (tess_source_open(&source, look->path, &options, problems, error) != TESS_OK)
        return error->code;
    first = source.n_rows * look->rank / look->n_ranks;
    end = source.n_rows * (look->rank + 1) / look->n_ranks;
    check_matrix(&source, first, end, look->predicted,
                 look->layer && strcmp(look->layer, "std") == 0, problems, error);
    columns = columns && look->rank == 0;
    for (size_t i = 0; columns && i < source.column.n && error->code == TESS_OK; i++) {
        struct tess_column column = {0};

        tess_source_read_column(&source, source.column.item[i], &column, error);
        tess_column_release(&column);
    }
    tess_source_release(&source);
    return error->code;
}

/* Every matrix that `about` (tess_info_anndata's object, or one of its modalities) names. */
static int check_all(struct look look, const json_t *about, struct tess_problems *problems,
                     struct tess_error *error)
{
    const char *x = json_string_value(json_object_get(about, "x"));
    const json_t *layers = json_object_get(about, "layers"), *raw = json_object_get(about, "raw");
    int has_x = !x || strcmp(x, "none") != 0, columns = 1;

    look.predicted = json_object_get(json_object_get(about, "uns"), "model_hash") != NULL;
    if (has_x || (json_array_size(layers) == 0 && !raw)) {
        check_layer(&look, columns, problems, error);
        columns = 0;
    }
    for (size_t i = 0; i < json_array_size(layers) && error->code == TESS_OK; i++) {
        look.layer = json_string_value(json_array_get(layers, i));
        check_layer(&look, columns, problems, error);
        columns = 0;
    }
    look.layer = "raw/X";
    if (raw && error->code == TESS_OK)
        check_layer(&look, columns, problems, error);
    return error->code;
}

int tess_verify_anndata(const char *path, int rank, int n_ranks, struct tess_strings *problem,
                        struct tess_error *error)
{
    struct tess_problems problems = {.limit = 100};
    struct look look = {.path = path, .rank = rank, .n_ranks = n_ranks};
    json_t *about = tess_info_anndata(path, error), *modalities, *one;

    modalities = json_object_get(about, "modalities");
    if (error->code == TESS_OK && !modalities)
        check_all(look, about, &problems, error);
    json_object_foreach(modalities, look.modality, one)
    {
        if (error->code == TESS_OK)
            check_all(look, one, &problems, error);
    }
    for (size_t i = 0; i < problems.text.n; i++)
        tess_strings_add(problem, problems.text.item[i]);
    json_decref(about);
    tess_problems_release(&problems);
    return error->code;
}
