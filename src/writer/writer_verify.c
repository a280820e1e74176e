/* writer_verify.c -- files that were written, as the readers of inputs find them. */
#include "writer_verify.h"

#include "tessera/error.h"
#include "tessera/source_open.h"

#include <math.h>
#include <string.h>

#define PROBLEMS 100 /* named at most */

/* This rank's rows: a model's predictions are finite, deviations not negative. */
static int check_rows(struct tess_source *source, const struct tess_writer_look *look,
                      struct tess_problems *problems, struct tess_error *error)
{
    int64_t end = source->n_rows * (look->rank + 1) / look->n_ranks, n;
    int positive = look->layer && strcmp(look->layer, "std") == 0;
    struct tess_block block = {0};

    for (int64_t at = source->n_rows * look->rank / look->n_ranks; at < end; at += n) {
        n = end - at < source->rows_at_once ? end - at : source->rows_at_once;
        if (tess_source_read_rows(source, at, n, &block, problems, error) != TESS_OK)
            break;
        for (int64_t i = 0; block.dense && look->predicted && i < n * source->n_readouts; i++)
            if ((!isfinite(block.dense[i]) && !(look->gaps && isnan(block.dense[i]))) ||
                (positive && block.dense[i] < 0)) {
                tess_problems_add(problems, source->path, at + i / source->n_readouts + 1,
                                  source->readout.item[i % source->n_readouts],
                                  positive ? "is no deviation" : "is not finite");
                break;
            }
    }
    tess_block_release(&block);
    return error->code;
}

int tess_writer_read_back(const struct tess_writer_look *look, struct tess_problems *problems,
                          struct tess_error *error)
{
    struct tess_source_options options = {.layer = look->layer, .modality = look->modality};
    struct tess_source source;
    int columns = look->columns && look->rank == 0;

    if (tess_source_open(&source, look->path, &options, problems, error) != TESS_OK)
        return error->code;
    check_rows(&source, look, problems, error);
    for (size_t i = 0; columns && i < source.column.n && error->code == TESS_OK; i++) {
        struct tess_column column = {0};

        tess_source_read_column(&source, source.column.item[i], &column, error);
        tess_column_release(&column);
    }
    tess_source_release(&source);
    return error->code;
}

int tess_writer_check_version(const char *path, const json_t *notes, struct tess_error *error)
{
    const char *format = json_string_value(json_object_get(notes, "format"));
    size_t n = strcspn(TESS_IMPUTED_FORMAT, " ") + 1;

    if (format && strncmp(format, TESS_IMPUTED_FORMAT, n) == 0 &&
        strcmp(format, TESS_IMPUTED_FORMAT) != 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: is an imputed file of version %s, this program reads version %s: use "
                       "the program that wrote it",
                       path, format + n, &TESS_IMPUTED_FORMAT[n]);
    return error->code;
}

int tess_writer_verify(const struct tess_writer_type *type, const char *path, int rank, int n_ranks,
                       struct tess_strings *problem, struct tess_error *error)
{
    struct tess_writer_look look = {.path = path, .rank = rank, .n_ranks = n_ranks, .columns = 1};
    struct tess_problems problems = {.limit = PROBLEMS};

    (type->verify ? type->verify : tess_writer_read_back)(&look, &problems, error);
    for (size_t i = 0; i < problems.text.n; i++)
        tess_strings_add(problem, problems.text.item[i]);
    tess_problems_release(&problems);
    return error->code;
}

json_t *tess_writer_read_about(const char *path, struct tess_error *error)
{
    struct tess_source_options options = {0};
    struct tess_problems problems = {.limit = PROBLEMS};
    struct tess_source source = {0};
    json_t *all = NULL;

    if (tess_source_open(&source, path, &options, &problems, error) == TESS_OK)
        all = json_pack("{s:s, s:s, s:I, s:I}", "file", path, "kind", source.kind, "rows",
                        (json_int_t)source.n_rows, "readouts", (json_int_t)source.n_readouts);
    tess_source_release(&source);
    tess_problems_release(&problems);
    return all;
}

json_t *tess_writer_describe(const struct tess_writer_type *type, const char *path,
                             struct tess_error *error)
{
    return type->describe ? type->describe(path, error) : tess_writer_read_about(path, error);
}
