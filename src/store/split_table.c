/* split_table.c -- a split as a table: perturbation, context, split, tabs between. */
#include "tessera/split.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/intern.h"
#include "tessera/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { PERTURBATION, CONTEXT, SPLIT, N_COLUMNS };
static const char *const columns[N_COLUMNS] = {"perturbation", "context", "split"};
#define FIELDS 64 /* of a line that are looked at */

/* A table's text. Fields that hold tabs, ends of lines or quotes are quoted as in CSV (RFC 4180),
 * as other readers understand it: "a ""b""". */
struct text {
    char *at; /* what is not read yet */
    int64_t line, next; /* of the record in hand, and after it */
};

/* Cuts the next record into its fields, in place; returns their number, of which at most `room` are
 * kept. 0: the end; -1: a quote stays open, or is followed by something else. */
static int read_record(struct text *text, char **field, int room)
{
    int n = 0, more = *text->at != '\0';

    for (text->line = text->next; more; n++) {
        char *begin = text->at, *from = begin, *to = begin, end;

        if (*from == '"') {
            for (from++; *from && (*from != '"' || from[1] == '"'); *to++ = *from++) {
                from += *from == '"';
                text->next += *from == '\n';
            }
            if (*from++ != '"' || (*from && !strchr("\t\r\n", *from)))
                return -1;
        } else
            from = to = begin + strcspn(begin, "\t\r\n");
        end = *from;
        from += end == '\r' && from[1] == '\n';
        text->at = end ? from + 1 : from;
        text->next += end == '\n' || end == '\r';
        more = end == '\t';
        *to = '\0';
        if (n < room)
            field[n] = begin;
    }
    return n;
}

static int write_field(FILE *file, const char *text, char end)
{
    int quoted = strpbrk(text, "\t\r\n\"") != NULL, bad = 0;

    bad |= quoted && fputc('"', file) < 0;
    for (; *text; text++)
        bad |= (*text == '"' && fputc('"', file) < 0) || fputc(*text, file) < 0;
    bad |= quoted && fputc('"', file) < 0;
    return bad | (fputc(end, file) < 0);
}

struct table {
    const struct tess_index *index;
    const char *path;
    int64_t line;
    int at[N_COLUMNS];
    struct tess_intern pair; /* (combination, context) that were listed */
    size_t room;
    int8_t *pair_split; /* by number of the pair */
    int64_t n_control;
};

static int read_header(struct table *table, char **field, int n, struct tess_error *error)
{
    for (int k = 0; k < N_COLUMNS; k++) {
        table->at[k] = -1;
        for (int i = 0; i < n && i < FIELDS; i++)
            if (strcmp(field[i], columns[k]) == 0)
                table->at[k] = i;
        if (table->at[k] < 0)
            return tess_error_set(error, TESS_EDATA,
                                  "%s:1: no column '%s': a split table has the columns "
                                  "perturbation, context and split, with tabs between",
                                  table->path, columns[k]);
    }
    return TESS_OK;
}

static int refuse(const struct table *table, const char *column, const char *text, const char *why,
                  struct tess_error *error)
{
    return tess_error_set(error, TESS_EDATA, "%s:%" PRId64 ":%s: '%s' %s", table->path, table->line,
                          column, text, why);
}

static int unknown(const struct table *table, const struct tess_vocab *vocab, const char *what,
                   struct tess_strings *names, const char *text, struct tess_error *error)
{
    char *place = tess_format("%s:%" PRId64 ": the store", table->path, table->line);

    if (names->n == 0)
        tess_strings_add(names, text);
    tess_vocab_refuse(vocab, names, what, place, error);
    tess_free(place);
    return error->code;
}

/* The number of a combination of the store, or -1 and an error. */
static int64_t find_combination(const struct table *table, const char *text,
                                struct tess_error *error)
{
    struct tess_strings names = {0};
    int64_t found = tess_index_find_text(table->index, NULL, text, &names);

    if (names.n > 0)
        unknown(table, &table->index->perturbation, "perturbation", &names, text, error);
    else if (found < 0)
        refuse(table, columns[PERTURBATION], text, "is no perturbation of the store", error);
    tess_strings_release(&names);
    return found;
}

/* Control is trained on whatever its line says. A pair may be listed again in the same split, as
 * tables with a line for each panel or replicate do. */
static int read_line(struct table *table, char **field, int n, struct tess_error *error)
{
    int split;
    struct tess_strings names = {0};
    int64_t key[2], before = table->pair.n, number;

    if (n == 1 && !*field[0])
        return TESS_OK;
    for (int k = 0; k < N_COLUMNS; k++)
        if (table->at[k] >= n)
            return refuse(table, columns[k], field[0], "has too few fields", error);
    split = tess_split_parse(field[table->at[SPLIT]]);
    if (split < 0)
        return refuse(table, "split", field[table->at[SPLIT]],
                      "is no split: train, val, test or unused", error);
    key[0] = find_combination(table, field[table->at[PERTURBATION]], error);
    if (key[0] < 0)
        return error->code;
    key[1] = tess_vocab_find(&table->index->context, field[table->at[CONTEXT]]);
    if (key[1] < 0) {
        unknown(table, &table->index->context, "context", &names, field[table->at[CONTEXT]], error);
        tess_strings_release(&names);
        return error->code;
    }
    if (tess_index_is_control(table->index, key[0]) && split != TESS_TRAIN) {
        table->n_control++;
        split = TESS_TRAIN;
    }
    number = tess_intern_add(&table->pair, (const char *)key, sizeof key);
    if (number < before && table->pair_split[number] != split)
        return refuse(table, columns[PERTURBATION], field[table->at[PERTURBATION]],
                      "stands in another split on an earlier line, in the same context", error);
    table->pair_split = tess_grow(table->pair_split, &table->room, (size_t)table->pair.n, 1);
    table->pair_split[number] = (int8_t)split;
    return TESS_OK;
}

/* Splits of the store's experiments; every listed pair must be one of the store. */
static int apply(const struct table *table, int8_t *split, struct tess_error *error)
{
    const struct tess_index *index = table->index;
    char *used = TESS_NEW(char, table->pair.n);

    for (int64_t i = 0; i < index->n_experiments; i++) {
        int64_t key[2] = {index->combination[i], index->context_of[i]};
        int64_t number = tess_intern_find(&table->pair, (const char *)key, sizeof key);

        split[i] = number < 0 ? TESS_TRAIN : table->pair_split[number];
        if (number >= 0)
            used[number] = 1;
    }
    for (int64_t k = 0; k < table->pair.n && error->code == TESS_OK; k++)
        if (!used[k]) {
            int64_t key[2];
            char *name;

            memcpy(key, table->pair.text[k], sizeof key);
            name = tess_index_combination_name(index, key[0]);
            tess_error_set(error, TESS_EDATA, "%s: the store has no experiment of '%s' in '%s'",
                           table->path, name, index->context.symbol[key[1]]);
            tess_free(name);
        }
    tess_free(used);
    return error->code;
}

static void read_table(struct table *table, char *content, struct tess_error *error)
{
    struct text text = {content, 1, 1};
    char *field[FIELDS];
    int n;

    if (strncmp(text.at, "\xef\xbb\xbf", 3) == 0)
        text.at += 3;
    for (int64_t record = 0; error->code == TESS_OK; record++) {
        n = read_record(&text, field, FIELDS);
        table->line = text.line;
        if (n < 0)
            tess_error_set(error, TESS_EDATA,
                           "%s:%" PRId64 ": a quote stays open, or something follows it",
                           table->path, table->line);
        else if (n == 0)
            break;
        else if (record == 0)
            read_header(table, field, n, error);
        else
            read_line(table, field, n, error);
    }
}

/* The line on which a text ends, from 1; lines end with LF, CRLF or CR. */
static int64_t last_line(const char *text)
{
    int64_t line = 1;

    for (; *text; text++)
        line += *text == '\n' || (*text == '\r' && text[1] != '\n');
    return line;
}

/* All of the file; own (free). */
static char *read_file(const char *path, struct tess_error *error)
{
    FILE *file = tess_fail_here(error, path) ? NULL : fopen(path, "r");
    size_t room = 0;
    char *content = NULL;
    int64_t n;

    if (!file) {
        tess_error_set(error, TESS_EDATA, "%s: cannot open: %s", path, strerror(errno));
        return NULL;
    }
    n = getdelim(&content, &room, '\0', file);
    if (ferror(file))
        tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", path, strerror(errno));
    else if (n < 1)
        tess_error_set(error, TESS_EDATA, "%s: the file is empty", path);
    else if (strlen(content) < (size_t)n)
        tess_error_set(error, TESS_EDATA,
                       "%s:%" PRId64 ": holds a zero byte: this is no table of text (UTF-16? save "
                       "it as UTF-8)",
                       path, last_line(content));
    fclose(file);
    return content;
}

int tess_split_read(const struct tess_index *index, const char *path, int8_t *split, char *method,
                    struct tess_error *error)
{
    struct table table = {.index = index, .path = path};
    char *content = read_file(path, error), *utf8 = NULL;

    if (error->code == TESS_OK) {
        utf8 = tess_text_utf8(content);
        read_table(&table, utf8 ? utf8 : content, error);
    }
    free(content); /* getdelim's own */
    tess_free(utf8);
    if (error->code == TESS_OK && apply(&table, split, error) == TESS_OK) {
        snprintf(method, TESS_SPLIT_METHOD, "table %s", path);
        if (table.n_control)
            tess_warn("%s: control stays in training, whatever its %" PRId64 " lines say", path,
                      table.n_control);
    }
    tess_intern_release(&table.pair);
    tess_free(table.pair_split);
    return error->code;
}

static int write_pair(const struct tess_index *index, const int64_t key[3], FILE *file,
                      const char *path, struct tess_error *error)
{
    char *name = tess_index_combination_name(index, key[0]);
    int bad = 0;

    /* the name is read back as a check: pluses within symbols may be in the way */
    if (tess_index_find_text(index, NULL, name, NULL) == key[0])
        bad = write_field(file, name, '\t') |
              write_field(file, index->context.symbol[key[1]], '\t') |
              write_field(file, tess_split_name((int)key[2]), '\n');
    else
        tess_error_set(error, TESS_EDATA,
                       "%s: '%s' would be read as another perturbation of the store, since symbols "
                       "hold pluses of their own: a table cannot tell them apart",
                       path, name);
    tess_free(name);
    return bad;
}

/* The split is part of the key: a pair that has two is listed with both, so that the table does not
 * hide it (reading refuses that). */
int tess_split_write(const struct tess_index *index, const int8_t *split, const char *path,
                     struct tess_error *error)
{
    struct tess_commit commit = {0};
    struct tess_intern seen = {0};
    FILE *file = NULL;
    int bad;

    if (tess_commit_open(&commit, path, error) == TESS_OK && !(file = fopen(commit.aside, "w")))
        tess_error_set(error, TESS_ECREATE, "%s: cannot create: %s", path, strerror(errno));
    if (!file) {
        tess_commit_release(&commit);
        return error->code;
    }
    bad = fprintf(file, "perturbation\tcontext\tsplit\n") < 0;
    for (int64_t i = 0; i < index->n_experiments && error->code == TESS_OK; i++) {
        int64_t key[3] = {index->combination[i], index->context_of[i], split[i]}, before = seen.n;

        if (tess_intern_add(&seen, (const char *)key, sizeof key) == before)
            bad |= write_pair(index, key, file, path, error);
    }
    bad |= fclose(file) != 0;
    tess_intern_release(&seen);
    if (bad)
        tess_error_set(error, TESS_EIO, "%s: cannot be written: %s", path, strerror(errno));
    if (error->code == TESS_OK)
        tess_commit_finish(&commit, error);
    tess_commit_release(&commit);
    return error->code;
}
