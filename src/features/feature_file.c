/* feature_file.c -- rank 0 reads, standardises, and finds the axes. */
#include "tessera/feature_file.h"

#include "feature_axes.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/intern.h"
#include "tessera/log.h"
#include "tessera/source_open.h"
#include "tessera/table.h"
#include "tessera/target.h"
#include "tessera/vocab.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* All of a file. */
struct content {
    const char *path;
    int64_t most, axes; /* symbols that are looked for at most; axes that are kept */
    struct tess_intern name; /* symbols, each once */
    int64_t columns;
    float *value; /* (name.n, columns) */
    double *mean, *scale; /* (columns) of those that the symbols have; scale 0: says nothing */
    double *map; /* (columns, axes) */
    int64_t n_missing;
};

/* Where the symbols stand: the first column of a table, the index of AnnData. */
static char *symbol_column(const char *path, struct tess_error *error)
{
    char *head = TESS_NEW(char, TESS_SOURCE_HEAD), *name = NULL;
    struct tess_strings names = {0};
    int packed;
    size_t n = tess_source_peek(path, path, head, &packed, error);

    if (error->code == TESS_OK)
        name = tess_strdup(tess_table_recognize(head, n, &names) > 0 && names.n > 0 ? names.item[0]
                                                                                    : "index");
    tess_strings_release(&names);
    tess_free(head);
    return name;
}

/* One row; the same symbol may come again with the same numbers. */
static int take_row(struct content *content, const char *symbol, const float *x,
                    struct tess_error *error)
{
    int64_t before = content->name.n, row = tess_intern_add(&content->name, symbol, strlen(symbol));
    float *to = content->value + row * content->columns;

    if (row < before && memcmp(to, x, (size_t)content->columns * sizeof *x) != 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: '%s' is there twice with different features: keep one of them, "
                              "or their mean",
                              content->path, symbol);
    memcpy(to, x, (size_t)content->columns * sizeof *x);
    return TESS_OK;
}

static void spread(const struct tess_block *block, int64_t i, int64_t columns, float *x)
{
    if (block->dense) {
        memcpy(x, block->dense + i * columns, (size_t)columns * sizeof *x);
        return;
    }
    for (int64_t k = 0; k < columns; k++)
        x[k] = block->fill;
    for (int64_t k = block->indptr[i]; k < block->indptr[i + 1]; k++)
        x[block->index[k]] = block->data[k];
}

/* Before memory is taken for it: the numbers as they are, those of the symbols twice, and products
 * of rows or columns, whichever are fewer, with what finding their eigenvectors takes. */
static void announce(const struct content *content, int64_t rows)
{
    double m = (double)(rows < content->most ? rows : content->most);
    double columns = (double)content->columns, n = fmin(fmin(m, columns), TESS_FEATURE_AXES_MOST);
    double k = fmin((double)content->axes, n);

    tess_info("%s: %" PRId64 " rows of %" PRId64 " features; reading them takes at most %.1f MB of "
              "memory on one rank for a while",
              content->path, rows, content->columns,
              (4 * (double)rows * columns + 16 * m * columns + 8 * n * (n + k + 40) +
               8 * columns * (double)content->axes + 4 * (double)rows * (double)content->axes) /
                  1e6);
}

static int read_rows(struct content *content, struct tess_source *source,
                     const struct tess_column *symbol, struct tess_problems *problems,
                     struct tess_error *error)
{
    int64_t step = source->rows_at_once < 1 ? 1 : source->rows_at_once;
    float *x = TESS_NEW(float, source->n_readouts);
    struct tess_block block = {0};

    content->columns = source->n_readouts;
    announce(content, source->n_rows);
    content->value = tess_alloc_large((size_t)source->n_rows * (size_t)source->n_readouts,
                                      sizeof(float), "features", error);
    for (int64_t first = 0; first < source->n_rows && error->code == TESS_OK; first += step) {
        int64_t n = source->n_rows - first < step ? source->n_rows - first : step;

        tess_source_read_rows(source, first, n, &block, problems, error);
        for (int64_t i = 0; i < n && error->code == TESS_OK && problems->n == 0; i++) {
            int32_t code = symbol->code[first + i];

            spread(&block, i, content->columns, x);
            if (code >= 0)
                take_row(content, symbol->level[code], x, error);
        }
    }
    tess_block_release(&block);
    tess_free(x);
    return error->code;
}

/* The first of the problems with a file is the error. */
static int read_content(struct content *content, const char *path, struct tess_error *error)
{
    char *name = symbol_column(path, error);
    struct tess_source_options options = {.find_split = 0};
    struct tess_problems problems = {.limit = 1};
    struct tess_source source = {.path = NULL};
    struct tess_column symbol = {0};

    if (error->code != TESS_OK)
        return error->code;
    tess_strings_add(&options.perturbation, name);
    tess_strings_add(&options.context, name);
    if (tess_source_open(&source, path, &options, &problems, error) == TESS_OK) {
        if (tess_source_read_column(&source, name, &symbol, error) == TESS_OK)
            read_rows(content, &source, &symbol, &problems, error);
        tess_source_release(&source);
    }
    if (error->code == TESS_OK && problems.n > 0)
        tess_error_set(error, TESS_EDATA, "features: %s", problems.text.item[0]);
    tess_column_release(&symbol);
    tess_problems_release(&problems);
    tess_strings_release(&options.perturbation);
    tess_strings_release(&options.context);
    tess_free(name);
    return error->code;
}

/* A row without any number. */
static int says_nothing(const struct content *content, int64_t row)
{
    const float *value = content->value + row * content->columns;
    int64_t k = 0;

    while (k < content->columns && isnan(value[k]))
        k++;
    return k == content->columns;
}

/* Rows of the file for each symbol, by its name, its target or its drug; -1: none. Returns how many
 * have one.
 */
static int64_t find_rows(const struct content *content, const struct tess_vocab *symbols,
                         int64_t *row)
{
    int64_t found = 0;

    for (int64_t i = 0; i < symbols->n; i++) {
        char *name;

        row[i] = -1;
        for (int k = 0; row[i] < 0 && (name = tess_target_alias(symbols->symbol[i], k)); k++) {
            row[i] = tess_intern_find(&content->name, name, strlen(name));
            tess_free(name);
        }
        if (row[i] >= 0 && says_nothing(content, row[i]))
            row[i] = -1;
        found += row[i] >= 0;
    }
    return found;
}

/* One column of m rows, to mean 0 and deviation 1, a missing number at 0. Returns 0 if it says
 * nothing: all are the same or missing. */
static int standardise(struct content *content, int64_t m, const int64_t *row, int64_t column,
                       double *out, int64_t stride)
{
    double sum = 0, square = 0, n = 0, mean, deviation;

    for (int64_t i = 0; i < m; i++) {
        double x = (double)content->value[row[i] * content->columns + column];

        if (!isnan(x)) {
            sum += x;
            n++;
        }
    }
    mean = sum / n;
    content->n_missing += m - (int64_t)n;
    for (int64_t i = 0; i < m; i++) {
        double x = (double)content->value[row[i] * content->columns + column];

        out[i * stride] = isnan(x) ? 0 : x - mean;
        square += out[i * stride] * out[i * stride];
    }
    deviation = sqrt(square / (double)m);
    if (!(n > 0) || !(deviation > 1e-6 * fabs(mean)) || !(deviation > 0))
        return 0;
    for (int64_t i = 0; i < m; i++)
        out[i * stride] /= deviation;
    content->mean[column] = mean;
    content->scale[column] = 1 / deviation;
    return 1;
}

/* x (m, columns) of those columns that say something, next to each other; how many. */
static int64_t make_matrix(struct content *content, int64_t m, const int64_t *row, double *x)
{
    double *column = TESS_NEW(double, m);
    int64_t kept = 0;

    content->mean = TESS_NEW(double, content->columns);
    content->scale = TESS_NEW(double, content->columns);
    for (int64_t c = 0; c < content->columns; c++)
        if (standardise(content, m, row, c, column, 1)) {
            for (int64_t i = 0; i < m; i++)
                x[kept * m + i] = column[i];
            kept++;
        }
    tess_free(column);
    return kept;
}

/* What carries a column to the axes: map (columns, k), 0 where it says nothing. x (kept columns, m)
 * are those that were kept, out (m, k) their rows' coordinates. As many rows as there are give
 * back their coordinates. */
static void find_map(struct content *content, int64_t m, int64_t k, const double *x,
                     const double *out)
{
    double total = 0;

    content->map = TESS_NEW(double, content->columns *k);
    for (int64_t c = 0, at = 0; c < content->columns; c++) {
        if (content->scale[c] == 0)
            continue;
        for (int64_t i = 0; i < m; i++) {
            total += x[at * m + i] * x[at * m + i];
            for (int64_t j = 0; j < k; j++)
                content->map[c * k + j] += x[at * m + i] * out[i * k + j];
        }
        at++;
    }
    for (int64_t j = 0; j < k; j++) {
        double square = 0;

        for (int64_t i = 0; i < m; i++)
            square += out[i * k + j] * out[i * k + j];
        for (int64_t c = 0; c < content->columns; c++)
            content->map[c * k + j] *= square > 0 ? (double)m / total / square : 0;
    }
}

/* All rows of the file that say something, by their names, on the same axes. */
static void place_all(struct tess_features *features, const struct content *content)
{
    int64_t n = 0, k = features->k, *row = TESS_NEW(int64_t, content->name.n), *order;
    const char **name = TESS_NEW(const char *, content->name.n);
    double *sum = TESS_NEW(double, k);

    for (int64_t i = 0; i < content->name.n; i++)
        if (!says_nothing(content, i)) {
            name[n] = content->name.text[i];
            row[n++] = i;
        }
    order = TESS_NEW(int64_t, n);
    tess_vocab_init(&features->name, n, name, order);
    features->named = TESS_NEW(float, n *k);
    for (int64_t i = 0; i < n; i++) {
        const float *value = content->value + row[order[i]] * content->columns;

        memset(sum, 0, (size_t)k * sizeof *sum);
        for (int64_t c = 0; c < content->columns; c++) {
            double z =
                isnan(value[c]) ? 0 : ((double)value[c] - content->mean[c]) * content->scale[c];

            for (int64_t j = 0; z != 0 && j < k; j++)
                sum[j] += z * content->map[c * k + j];
        }
        for (int64_t j = 0; j < k; j++)
            features->named[i * k + j] = (float)sum[j];
    }
    tess_free(row);
    tess_free(order);
    tess_free(name);
    tess_free(sum);
}

static int find_axes(struct tess_features *features, struct content *content, int64_t m,
                     const int64_t *row, struct tess_error *error)
{
    double *x =
        tess_alloc_large((size_t)m * (size_t)content->columns, sizeof *x, "features", error);
    double *turned = NULL, *out = TESS_NEW(double, m * features->k);
    int64_t kept = x ? make_matrix(content, m, row, x) : 0, at = 0;

    if (error->code == TESS_OK && kept == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no feature differs between the symbols that are known: a file with "
                       "numbers that do is needed",
                       content->path);
    if (error->code == TESS_OK)
        turned = tess_alloc_large((size_t)m * (size_t)kept, sizeof *turned, "features", error);
    for (int64_t c = 0; turned && c < kept; c++)
        for (int64_t i = 0; i < m; i++)
            turned[i * kept + c] = x[c * m + i];
    if (turned && tess_feature_axes(&(struct tess_feature_matrix){content->path, m, kept, turned},
                                    features->k, out, error) == TESS_OK)
        find_map(content, m, features->k, x, out);
    tess_free(x);
    for (int64_t i = 0; i < features->n && error->code == TESS_OK; i++)
        if (!isnan(features->value[i * features->k])) {
            for (int64_t j = 0; j < features->k; j++)
                features->value[i * features->k + j] = (float)out[at * features->k + j];
            at++;
        }
    tess_free(turned);
    tess_free(out);
    return error->code;
}

static void say(const struct content *content, const struct tess_feature_file *file, int64_t m,
                const struct tess_features *features)
{
    tess_info("%s: features of %" PRId64 " of %" PRId64 " %ss (%" PRId64 " columns, on at most "
              "%" PRId64 " axes); %" PRId64 " have none",
              file->path, m, features->n, file->kind, content->columns, features->k,
              features->n - m);
    if (content->n_missing > 0)
        tess_info("%s: %" PRId64 " missing features are taken as their column's mean", file->path,
                  content->n_missing);
}

/* Rank 0's. Symbols with features are marked by a 0 first. */
static int make(struct tess_features *features, const struct tess_feature_file *file,
                const struct tess_vocab *symbols, struct tess_error *error)
{
    struct content content = {.path = file->path, .most = symbols->n, .axes = file->axes};
    int64_t *row = TESS_NEW(int64_t, symbols->n), m = 0, at = 0;

    if (read_content(&content, file->path, error) == TESS_OK) {
        m = find_rows(&content, symbols, row);
        if (m < 2)
            tess_error_set(error, TESS_EDATA,
                           "%s: knows %" PRId64 " of %" PRId64 " %ss by their name or target "
                           "('%s' or '%s', for instance): the first column, or the names of rows, "
                           "must be their symbols",
                           file->path, m, symbols->n, file->kind,
                           symbols->n ? symbols->symbol[symbols->n - 1] : "",
                           symbols->n ? tess_target_name(symbols->symbol[symbols->n - 1]) : "");
    }
    for (int64_t i = 0; i < symbols->n && error->code == TESS_OK; i++) {
        for (int64_t j = 0; j < features->k; j++)
            features->value[i * features->k + j] = row[i] < 0 ? NAN : 0;
        if (row[i] >= 0)
            row[at++] = row[i];
    }
    if (error->code == TESS_OK && find_axes(features, &content, m, row, error) == TESS_OK) {
        if (file->further)
            place_all(features, &content);
        say(&content, file, m, features);
    }
    tess_intern_release(&content.name);
    tess_free(content.value);
    tess_free(content.mean);
    tess_free(content.scale);
    tess_free(content.map);
    tess_free(row);
    return error->code;
}

void tess_features_broadcast(struct tess_features *features, MPI_Comm comm)
{
    features->value = tess_broadcast_array(comm, features->value, features->n * features->k,
                                           sizeof *features->value);
    tess_broadcast_vocab(comm, &features->name);
    features->named = tess_broadcast_array(comm, features->named, features->name.n * features->k,
                                           sizeof *features->named);
}

int tess_feature_file_read(struct tess_features *features, const struct tess_feature_file *file,
                           const struct tess_vocab *symbols, MPI_Comm comm,
                           struct tess_error *error)
{
    int rank;

    *features = (struct tess_features){.n = symbols->n};
    if (!file->path[0])
        return TESS_OK;
    MPI_Comm_rank(comm, &rank);
    features->k = file->axes;
    if (rank == 0) {
        features->value = TESS_NEW(float, features->n * features->k);
        make(features, file, symbols, error);
    }
    if (tess_agree(comm, error) == TESS_OK)
        tess_features_broadcast(features, comm);
    return error->code;
}

void tess_feature_cache_release(struct tess_feature_cache *cache)
{
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_features_release(&cache->features[t]);
    *cache = (struct tess_feature_cache){.axes = 0};
}
