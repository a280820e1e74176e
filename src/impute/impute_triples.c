/* impute_triples.c -- rows and readouts of a list of (perturbation, readout, context).
 *
 * Its matrix has a row for each distinct (perturbation, context), and a column for each readout
 * that any line names: names, tools and layers stay those of every other imputed file. What no line
 * asks for is NaN in it. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/intern.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { P, R, C, N };
static const char *const names[N] = {"perturbation", "readout", "context"};
static const int tables[N] = {TESS_TABLE_P, TESS_TABLE_R, TESS_TABLE_C};

struct triples {
    const char *path; /* borrowed */
    int64_t n;
    int32_t *number; /* (n, N) of the names below; own */
    size_t room;
    int column[N]; /* of a line */
    struct tess_intern name[N]; /* own */
};

static void trim(const char **text, size_t *length)
{
    while (*length > 0 && (**text == ' ')) {
        (*text)++;
        (*length)--;
    }
    while (*length > 0 && ((*text)[*length - 1] == ' ' || (*text)[*length - 1] == '\r'))
        (*length)--;
}

/* The fields of a line between its tabs: how many, at most N + 1. */
static int split(const char *line, size_t length, const char *field[N + 1], size_t size[N + 1])
{
    const char *end = line + length;
    int n = 0;

    for (const char *tab; n <= N; line = tab + 1) {
        tab = memchr(line, '\t', (size_t)(end - line));
        field[n] = line;
        size[n] = (size_t)((tab ? tab : end) - line);
        trim(&field[n], &size[n]);
        n++;
        if (!tab)
            break;
    }
    return n;
}

/* Does the line name the columns? Then they come in its order. */
static int is_head(struct triples *triples, const char *const *field, const size_t *size)
{
    int column[N] = {-1, -1, -1}, found = 0;

    for (int k = 0; k < N; k++)
        for (int i = 0; i < N; i++)
            if (column[k] < 0 && size[i] == strlen(names[k]) &&
                memcmp(field[i], names[k], size[i]) == 0) {
                column[k] = i;
                found++;
            }
    if (found == N)
        memcpy(triples->column, column, sizeof column);
    return found == N;
}

static int add_line(struct triples *triples, const char *line, size_t length, int64_t number,
                    struct tess_error *error)
{
    const char *field[N + 1];
    size_t size[N + 1];
    int n = split(line, length, field, size);

    if (memchr(line, '\0', length))
        return tess_error_set(
            error, TESS_EDATA,
            "%s: line %lld holds a zero byte: this is no plain text (UTF-16? save "
            "it as UTF-8)",
            triples->path, (long long)number);
    if (n == 1 && size[0] == 0)
        return TESS_OK;
    for (int k = 0; k < N && n == N; k++)
        n = size[k] > 0 ? n : 0;
    if (n != N)
        return tess_error_set(error, TESS_EDATA,
                              "%s: line %lld: three symbols belong here, perturbation, readout and "
                              "context, with tabs between them",
                              triples->path, (long long)number);
    if (number == 1 && is_head(triples, field, size))
        return TESS_OK;
    triples->number =
        tess_grow(triples->number, &triples->room, (size_t)(N * (triples->n + 1)), sizeof(int32_t));
    for (int k = 0; k < N; k++) {
        int i = triples->column[k];

        triples->number[N * triples->n + k] =
            (int32_t)tess_intern_add(&triples->name[k], field[i], size[i]);
    }
    triples->n++;
    return TESS_OK;
}

static int read_lines(struct triples *triples, struct tess_error *error)
{
    static const char mark[] = "\xEF\xBB\xBF";
    FILE *file = fopen(triples->path, "rb");
    int64_t number = 0;
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    if (!file)
        return tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", triples->path,
                              strerror(errno));
    while (error->code == TESS_OK && (n = getline(&line, &room, file)) >= 0) {
        const char *text = line;

        n -= n > 0 && line[n - 1] == '\n';
        if (number++ == 0 && n >= 3 && memcmp(text, mark, 3) == 0) {
            text += 3;
            n -= 3;
        }
        add_line(triples, text, (size_t)n, number, error);
    }
    if (error->code == TESS_OK && ferror(file))
        tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", triples->path, strerror(errno));
    if (error->code == TESS_OK && triples->n == 0)
        tess_error_set(error, TESS_EDATA, "%s: holds no triples: nothing is asked for",
                       triples->path);
    free(line); /* getline's */
    fclose(file);
    return error->code;
}

/* Names to places among the chosen, in the lines. */
static int place(struct triples *triples, const struct imputation *work, struct tess_sets *sets,
                 int kind, struct tess_error *error)
{
    const struct tess_intern *intern = &triples->name[kind];
    struct tess_choice choice = tess_imputation_choice(work, tables[kind]);
    char *source = tess_format("%s: %s", triples->path, choice.source);
    int64_t *to = TESS_NEW(int64_t, intern->n);
    struct tess_strings name = {0};

    choice.source = source;
    for (int64_t i = 0; i < intern->n; i++)
        tess_strings_add(&name, intern->text[i]);
    tess_select_names(&choice, &name, sets, to, error);
    for (int64_t i = 0; i < triples->n && error->code == TESS_OK; i++)
        triples->number[N * i + kind] = (int32_t)to[triples->number[N * i + kind]];
    tess_strings_release(&name);
    tess_free(source);
    tess_free(to);
    return error->code;
}

static int compare(const void *a, const void *b)
{
    static const int order[N] = {C, P, R};
    const int32_t *x = a, *y = b;
    int less = 0;

    for (int i = 0; i < N && less == 0; i++)
        less = (x[order[i]] > y[order[i]]) - (x[order[i]] < y[order[i]]);
    return less;
}

/* Context by context, as in every file; each row's readouts ascending; repeats are one. */
static void make_rows(struct triples *triples, struct imputation_rows *rows)
{
    const int32_t *last = NULL;

    qsort(triples->number, (size_t)triples->n, N * sizeof *triples->number, compare);
    rows->set = TESS_NEW(int64_t, triples->n);
    rows->context = TESS_NEW(int64_t, triples->n);
    rows->asked_first = TESS_NEW(int64_t, triples->n + 1);
    rows->asked = TESS_NEW(int64_t, triples->n);
    for (int64_t i = 0; i < triples->n; i++) {
        const int32_t *now = triples->number + N * i;

        if (last && compare(last, now) == 0)
            continue;
        if (!last || last[P] != now[P] || last[C] != now[C]) {
            rows->set[rows->n] = now[P];
            rows->context[rows->n++] = now[C];
            rows->asked_first[rows->n] = rows->asked_first[rows->n - 1];
        }
        rows->asked[rows->asked_first[rows->n]++] = now[R];
        last = now;
    }
}

int tess_imputation_read_triples(struct imputation *work, const char *path,
                                 struct tess_error *error)
{
    struct tess_sets *sets[N] = {&work->perturbation, &work->readout, &work->context};
    struct triples triples = {.path = path, .column = {P, R, C}};

    read_lines(&triples, error);
    for (int k = 0; k < N && error->code == TESS_OK; k++)
        place(&triples, work, sets[k], k, error);
    if (error->code == TESS_OK)
        make_rows(&triples, &work->rows);
    for (int k = 0; k < N; k++)
        tess_intern_release(&triples.name[k]);
    tess_free(triples.number);
    return error->code;
}
