/* dump_source.c -- what a source makes of a file, for tests to compare with other readers.
 *
 * usage: dump_source FILE VALUES [--layer NAME] [--readout NAME] [--rows N]
 * One JSON object on stdout (kind, readouts, columns, problems); the values go to the file VALUES
 * as float32, row by row. Exits with the error's code and its sentence on stderr. */
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/source.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *texts_of(const struct tess_strings *strings)
{
    json_t *list = json_array();

    for (size_t i = 0; i < strings->n; i++)
        json_array_append_new(list, json_string(strings->item[i]));
    return list;
}

/* {name: [text or null for each row]} */
static int dump_columns(struct tess_source *source, json_t *all, struct tess_error *error)
{
    for (size_t k = 0; k < source->column.n; k++) {
        struct tess_error mine = TESS_ERROR_INIT;
        struct tess_column column;
        json_t *list = json_array();

        tess_source_read_column(source, source->column.item[k], &column, &mine);
        for (int64_t i = 0; i < source->n_rows && mine.code == TESS_OK; i++)
            json_array_append_new(
                list, column.code[i] < 0 ? json_null() : json_string(column.level[column.code[i]]));
        tess_column_release(&column);
        json_object_set_new(all, source->column.item[k], list);
        if (mine.code != TESS_OK)
            tess_error_set(error, mine.code, "%s", mine.text);
    }
    return error->code;
}

static void write_row(const struct tess_source *source, const struct tess_block *block, int64_t i,
                      FILE *file)
{
    float *row = TESS_NEW(float, source->n_readouts);

    for (int64_t k = 0; k < source->n_readouts; k++)
        row[k] = block->dense ? block->dense[i * source->n_readouts + k] : block->fill;
    if (!block->dense)
        for (int64_t k = block->indptr[i]; k < block->indptr[i + 1]; k++) {
            TESS_BUG_IF(k > block->indptr[i] && block->index[k] <= block->index[k - 1]);
            row[block->index[k]] = block->data[k];
        }
    fwrite(row, sizeof row[0], (size_t)source->n_readouts, file);
    tess_free(row);
}

static int dump_values(struct tess_source *source, int64_t at_once, const char *path,
                       struct tess_problems *problems, struct tess_error *error)
{
    struct tess_block block = {0};
    FILE *file = fopen(path, "wb");

    TESS_BUG_IF(!file);
    for (int64_t first = 0; first < source->n_rows && error->code == TESS_OK; first += at_once) {
        int64_t n = source->n_rows - first < at_once ? source->n_rows - first : at_once;

        if (tess_source_read_rows(source, first, n, &block, problems, error) == TESS_OK)
            for (int64_t i = 0; i < n; i++)
                write_row(source, &block, i, file);
    }
    fclose(file);
    tess_block_release(&block);
    return error->code;
}

static int dump(const char *path, const char *values, const struct tess_source_options *options,
                int64_t at_once, struct tess_error *error)
{
    struct tess_problems problems = {.limit = 100};
    struct tess_source source;
    json_t *all = json_object(), *columns = json_object();

    if (tess_source_open(&source, path, options, &problems, error) == TESS_OK) {
        dump_columns(&source, columns, error);
        if (error->code == TESS_OK)
            dump_values(&source, at_once > 0 ? at_once : source.rows_at_once, values, &problems,
                        error);
        json_object_set_new(all, "type", json_string(source.type->name));
        json_object_set_new(all, "kind", json_string(source.kind));
        json_object_set_new(all, "rows", json_integer(source.n_rows));
        json_object_set_new(all, "readouts", texts_of(&source.readout));
        json_object_set_new(all, "columns", columns);
        json_object_set_new(all, "problems", texts_of(&problems.text));
        tess_source_release(&source);
    } else
        json_decref(columns);
    if (error->code == TESS_OK)
        json_dumpf(all, stdout, 0);
    json_decref(all);
    tess_problems_release(&problems);
    return error->code;
}

int main(int argc, char **argv)
{
    struct tess_source_options options = {0};
    struct tess_error error = TESS_ERROR_INIT;
    int64_t rows = 0;

    if (argc < 3 || argc % 2 == 0)
        return TESS_EUSAGE;
    for (int i = 3; i < argc; i += 2) {
        if (strcmp(argv[i], "--layer") == 0)
            options.layer = argv[i + 1];
        else if (strcmp(argv[i], "--readout") == 0)
            options.readout = argv[i + 1];
        else if (strcmp(argv[i], "--rows") == 0)
            tess_text_int64(argv[i + 1], &rows);
    }
    tess_h5_init();
    if (dump(argv[1], argv[2], &options, rows, &error) != TESS_OK)
        fprintf(stderr, "%s\n", error.text);
    return error.code;
}
