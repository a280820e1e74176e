/* annotation.c -- a table's columns, brought into the order of a source's rows by their ids. */
#include "tessera/annotation.h"

#include "place.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/source.h"
#include "tessera/spool.h"
#include "tessera/table.h"

#include <string.h>

#define UNSEEN (-2)

/* The columns that the options ask for and the source lacks, each once. */
static struct tess_strings all_wanted(const struct tess_source *source)
{
    struct tess_strings missing = {0};
    struct tess_wanted *wanted;
    size_t n = tess_source_options_wanted(source->options, &wanted);

    for (size_t i = 0; i < n; i++)
        if (!tess_place_is(wanted[i].name) && strcmp(wanted[i].name, TESS_COLUMN_NAMES) != 0 &&
            !(source->by_line && wanted[i].condition >= 0 &&
              source->by_line[wanted[i].condition] >= 0) &&
            tess_strings_find(&source->column, wanted[i].name) < 0 &&
            tess_strings_find(&missing, wanted[i].name) < 0)
            tess_strings_add(&missing, wanted[i].name);
    tess_free(wanted);
    return missing;
}

/* The column of the table that holds the ids, or -1. */
static int64_t find_id(const struct tess_table *table, const struct tess_source_options *options,
                       struct tess_error *error)
{
    int64_t id = tess_table_find(table, options->metadata_id ? options->metadata_id : "id");

    if (id >= 0 || !options->metadata_id)
        return id < 0 ? 0 : id;
    tess_table_miss(table, options->metadata_id, "--metadata-id", error);
    return -1;
}

/* Not one id of the file is in the table: they are of different kinds. */
static int refuse_ids(const struct tess_source *source, const struct tess_table *table, int64_t id,
                      const struct tess_intern *level, const char *first, struct tess_error *error)
{
    return tess_error_set(error, TESS_EDATA,
                          "%s: none of the %lld ids is in the table (file: %s; table: %s): %s is "
                          "looked up by its column `%s`, --metadata-id chooses another",
                          source->path, (long long)level->n, level->text[0],
                          first ? first : "no lines", table->lines.path, table->name.item[id]);
}

/* The lines of a table, and the ids of the source that they belong to. */
struct join {
    const struct tess_source *source;
    struct tess_table *table;
    int64_t id; /* the table's column of ids */
    const struct tess_intern *level; /* the source's ids */
    int32_t **code; /* (metadata columns, ids) out: the levels */
};

/* Reads the table's lines; code[k][level of the id] is filled for each of its columns. */
static int read_lines(const struct join *join, struct tess_problems *problems,
                      struct tess_error *error)
{
    const struct tess_intern *level = join->level;
    struct tess_table *table = join->table;
    int64_t id = join->id;
    int32_t **code = join->code;
    char *first = NULL; /* id of the table */
    int64_t n_found = 0;

    while (tess_table_next(table, problems, error) == 1) {
        const struct tess_field *key = &table->field[id];
        int64_t at = tess_intern_find(level, key->text, key->n);

        if (!first)
            first = tess_field_excerpt(key);
        n_found += at >= 0;
        if (at < 0)
            continue;
        if (code[0][at] != UNSEEN) {
            tess_problems_add(problems, table->lines.path, table->lines.number,
                              table->name.item[id], "`%s` appears twice", level->text[at]);
            continue;
        }
        for (int64_t k = 0; k < table->n_metadata; k++)
            code[k][at] = tess_symbols_add(&table->code[k], &table->field[table->metadata[k]]);
    }
    if (error->code == TESS_OK && n_found == 0 && level->n > 0)
        refuse_ids(join->source, table, id, level, first, error);
    tess_free(first);
    return error->code;
}

/* From codes of ids to codes of rows. */
static void spread(struct tess_annotation *annotation, const struct tess_column *ids, int64_t n)
{
    for (size_t k = 0; k < annotation->name.n; k++) {
        int32_t *of_level = annotation->code[k], *of_row = TESS_NEW(int32_t, n);

        for (int64_t row = 0; row < n; row++) {
            int32_t level = ids->code[row];

            of_row[row] = level < 0 || of_level[level] == UNSEEN ? -1 : of_level[level];
        }
        tess_free(of_level);
        annotation->code[k] = of_row;
    }
}

/* The table stands open, with the wanted columns as its metadata. */
static int read_table(struct tess_annotation *annotation, struct tess_source *source,
                      struct tess_table *table, struct tess_problems *problems,
                      struct tess_error *error)
{
    const char *own = source->key                                     ? source->key
                      : tess_strings_find(&source->column, "id") >= 0 ? "id"
                                                                      : source->column.item[0];
    int64_t id = find_id(table, source->options, error);
    struct tess_intern level = {0};
    struct tess_column ids = {0};

    if (id < 0 || source->type->read_column(source, own, &ids, error))
        return error->code;
    for (int64_t i = 0; i < ids.n_levels; i++)
        tess_intern_add(&level, ids.level[i], strlen(ids.level[i]));
    annotation->code = TESS_NEW(int32_t *, table->n_metadata);
    for (int64_t k = 0; k < table->n_metadata; k++) {
        tess_strings_add(&annotation->name, table->name.item[table->metadata[k]]);
        annotation->code[k] = TESS_NEW(int32_t, ids.n_levels);
        for (int64_t i = 0; i < ids.n_levels; i++)
            annotation->code[k][i] = UNSEEN;
    }
    read_lines(&(struct join){source, table, id, &level, annotation->code}, problems, error);
    spread(annotation, &ids, source->n_rows);
    annotation->symbol = table->code;
    table->code = NULL;
    tess_intern_release(&level);
    tess_column_release(&ids);
    return error->code;
}

/* The wanted columns stand for both labels, so that tess_table_open asks for no `perturbation` or
 * `context` that nobody named. The lists are borrowed: `ask` is not released. */
int tess_annotation_read(struct tess_annotation *annotation, struct tess_source *source,
                         struct tess_problems *problems, struct tess_error *error)
{
    struct tess_strings wanted = all_wanted(source);
    struct tess_source_options ask = {.perturbation = wanted,
                                      .context = wanted,
                                      .find_split =
                                          source->options->find_split &&
                                          tess_strings_find(&source->column, "split") < 0};
    struct tess_table table = {0};
    const char *place = NULL;

    *annotation = (struct tess_annotation){0};
    if (wanted.n == 0)
        tess_warn("%s: has every column that is asked for: --metadata %s is not read", source->path,
                  source->options->metadata);
    if (wanted.n > 0 && source->column.n == 0)
        tess_error_set(error, TESS_EDATA, "%s: no ids to look up in %s", source->path,
                       source->options->metadata);
    else if (wanted.n > 0)
        place = tess_spool_place(source->options->spools, source->options->metadata, error);
    if (place && tess_source_check_text(source->options->metadata, place, error) == TESS_OK &&
        tess_table_open(&table, source->options->metadata, place, &ask, error) == TESS_OK)
        read_table(annotation, source, &table, problems, error);
    if (!table.code)
        table.n_metadata = 0; /* they are ours now */
    tess_table_release(&table);
    tess_strings_release(&wanted);
    return error->code;
}

void tess_annotation_release(struct tess_annotation *annotation)
{
    for (size_t k = 0; k < annotation->name.n; k++) {
        tess_symbols_release(&annotation->symbol[k]);
        tess_free(annotation->code[k]);
    }
    tess_free(annotation->symbol);
    tess_free(annotation->code);
    tess_strings_release(&annotation->name);
    *annotation = (struct tess_annotation){0};
}
