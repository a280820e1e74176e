/* dump_source.c -- what a source makes of a file, for tests to compare with other readers.
 *
 * usage: dump_source FILE VALUES [--layer NAME] [--modality NAME] [--readout NAME] [--value NAME]
 *            [--perturbation A,B] [--context A,B] [--id-columns A,B] [--split-column NAME]
 *            [--replicate NAME] [--metadata FILE] [--metadata-id NAME] [--rows N (at a time)]
 * [--backwards 1 (last block first)] [--values A,B] [--missing A,B] [--infinite-missing 1]
 * [--columns N (enum tess_columns)] One JSON object on stdout (kind, readouts, columns, problems);
 * the values go to the file VALUES as float32, row by row. Exits with the error's code, its
 * sentence and the problems on stderr. */
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/source_open.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *text_of(const char *text)
{
    json_t *json = json_string(text);

    return json ? json : json_string("(not UTF-8)");
}

static json_t *texts_of(const struct tess_strings *strings)
{
    json_t *list = json_array();

    for (size_t i = 0; i < strings->n; i++)
        json_array_append_new(list, text_of(strings->item[i]));
    return list;
}

/* {name: [text or null for each row]} */
static int dump_columns(struct tess_source *source, const struct tess_strings *names, json_t *all,
                        struct tess_error *error)
{
    for (size_t k = 0; k < names->n; k++) {
        struct tess_error mine = TESS_ERROR_INIT;
        struct tess_column column;
        json_t *list = json_array();

        tess_source_read_column(source, names->item[k], &column, &mine);
        for (int64_t i = 0; i < source->n_rows && mine.code == TESS_OK; i++)
            json_array_append_new(list, column.code[i] < 0 ? json_null()
                                                           : text_of(column.level[column.code[i]]));
        tess_column_release(&column);
        json_object_set_new(all, names->item[k], list);
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

struct wish {
    const char *path, *values; /* file to read, file for its values */
    int64_t at_once; /* rows; 0: as many as the source likes */
    int64_t backwards; /* the last rows first */
};

static int dump_values(struct tess_source *source, const struct wish *wish,
                       struct tess_problems *problems, struct tess_error *error)
{
    int64_t at_once = wish->at_once > 0 ? wish->at_once : source->rows_at_once;
    int64_t n_blocks = (source->n_rows + at_once - 1) / at_once;
    struct tess_block block = {0};
    FILE *file = fopen(wish->values, "wb");

    TESS_BUG_IF(!file);
    for (int64_t b = 0; b < n_blocks && error->code == TESS_OK; b++) {
        int64_t first = (wish->backwards ? n_blocks - 1 - b : b) * at_once;
        int64_t n = source->n_rows - first < at_once ? source->n_rows - first : at_once;

        fseek(file, first * source->n_readouts * (long)sizeof(float), SEEK_SET);
        if (tess_source_read_rows(source, first, n, &block, problems, error) == TESS_OK)
            for (int64_t i = 0; i < n; i++)
                write_row(source, &block, i, file);
    }
    fclose(file);
    tess_block_release(&block);
    return error->code;
}

static int dump(const struct wish *wish, const struct tess_source_options *options,
                struct tess_error *error)
{
    struct tess_problems problems = {.limit = 100};
    struct tess_source source;
    json_t *all = json_object(), *columns = json_object();

    if (tess_source_open(&source, wish->path, options, &problems, error) == TESS_OK) {
        dump_columns(&source, &source.column, columns, error);
        dump_columns(&source, &source.annotation.name, columns, error);
        if (error->code == TESS_OK)
            dump_values(&source, wish, &problems, error);
        json_object_set_new(all, "type", json_string(source.type->name));
        json_object_set_new(all, "kind", json_string(source.kind));
        json_object_set_new(all, "ragged", json_boolean(source.ragged));
        json_object_set_new(all, "rows", json_integer(source.n_rows));
        json_object_set_new(all, "readouts", texts_of(&source.readout));
        json_object_set_new(all, "columns", columns);
        json_object_set_new(all, "problems", texts_of(&problems.text));
        tess_source_release(&source);
    } else
        json_decref(columns);
    if (error->code == TESS_OK)
        json_dumpf(all, stdout, 0);
    else
        fprintf(stderr, "%s\n", error->text);
    for (size_t i = 0; i < problems.text.n && error->code != TESS_OK; i++)
        fprintf(stderr, "%s\n", problems.text.item[i]);
    json_decref(all);
    tess_problems_release(&problems);
    return error->code;
}

int main(int argc, char **argv)
{
    struct tess_source_options options = {0};
    struct wish wish = {0};
    int64_t columns = 0, infinite = 0;
    const struct {
        const char *name, **text;
        struct tess_strings *list;
        int64_t *number;
    } known[] = {{"--layer", &options.layer, NULL, NULL},
                 {"--modality", &options.modality, NULL, NULL},
                 {"--readout", &options.readout, NULL, NULL},
                 {"--value", &options.value, NULL, NULL},
                 {"--split-column", &options.split_column, NULL, NULL},
                 {"--replicate", &options.replicate, NULL, NULL},
                 {"--metadata", &options.metadata, NULL, NULL},
                 {"--metadata-id", &options.metadata_id, NULL, NULL},
                 {"--perturbation", NULL, &options.perturbation, NULL},
                 {"--context", NULL, &options.context, NULL},
                 {"--id-columns", NULL, &options.id_columns, NULL},
                 {"--values", NULL, &options.values, NULL},
                 {"--missing", NULL, &options.missing, NULL},
                 {"--columns", NULL, NULL, &columns},
                 {"--infinite-missing", NULL, NULL, &infinite},
                 {"--rows", NULL, NULL, &wish.at_once},
                 {"--backwards", NULL, NULL, &wish.backwards}};
    struct tess_error error = TESS_ERROR_INIT;

    if (argc < 3 || argc % 2 == 0)
        return TESS_EUSAGE;
    wish.path = argv[1];
    wish.values = argv[2];
    for (int i = 3; i < argc; i += 2)
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            if (strcmp(argv[i], known[k].name) == 0) {
                if (known[k].text)
                    *known[k].text = argv[i + 1];
                else if (known[k].list)
                    tess_strings_split(known[k].list, argv[i + 1], ',');
                else
                    tess_text_int64(argv[i + 1], known[k].number);
            }
    options.columns = (int)columns;
    options.infinite_missing = (int)infinite;
    tess_h5_init();
    dump(&wish, &options, &error);
    tess_strings_release(&options.perturbation);
    tess_strings_release(&options.context);
    tess_strings_release(&options.id_columns);
    tess_strings_release(&options.values);
    tess_strings_release(&options.missing);
    return error.code;
}
