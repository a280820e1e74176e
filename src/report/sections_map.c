/* sections_map.c -- perturbations in the plane, those that belong together joined. */
#include "sections.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/map.h"
#include "tessera/target.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_POINTS 6000
#define MOST_PAIRS  2000
#define MOST_TYPES  12 /* of their own; the others are "other" */
#define GRID        1e-4 /* of the map's size: finer than a screen shows */

struct chart {
    const struct tess_model *model;
    struct tess_map map;
    int64_t *place; /* (perturbations) among the map's, -1: not trained; own */
    uint8_t *shown; /* (map.n) own */
    int64_t *pair; /* (n_pairs, 2) places; own */
    size_t room;
    int64_t n_pairs, n_unknown, n_untrained;
};

/* Of one line; -2: unknown, -1: never trained. */
static int64_t find(const struct chart *chart, const char *symbol)
{
    const struct tess_vocab *vocab = &chart->model->perturbation;
    int64_t number =
        strlen(symbol) <= (size_t)vocab->width ? tess_vocab_find(vocab, symbol) : (int64_t)-1;

    return number < 0 ? -2 : chart->place[number];
}

static void add_pair(struct chart *chart, const char *a, const char *b)
{
    int64_t x = find(chart, a), y = find(chart, b);

    if (x == -2 || y == -2)
        chart->n_unknown++;
    else if (x < 0 || y < 0)
        chart->n_untrained++;
    else if (x != y) {
        chart->pair = tess_grow(chart->pair, &chart->room, (size_t)chart->n_pairs + 1,
                                2 * sizeof *chart->pair);
        chart->pair[2 * chart->n_pairs] = x;
        chart->pair[2 * chart->n_pairs++ + 1] = y;
    }
}

/* Lines as `neighbors --pairs` takes them. */
static int read_pairs(struct chart *chart, const char *path, struct tess_error *error)
{
    struct tess_strings line = {0};

    if (tess_strings_read(&line, path, error) != TESS_OK)
        return error->code;
    for (size_t i = 0; i < line.n; i++) {
        struct tess_strings field = {0};

        tess_strings_split(&field, line.item[i], '\t');
        if (field.n >= 2 && !(i == 0 && strcmp(field.item[0], "perturbation") == 0))
            add_pair(chart, field.item[0], field.item[1]);
        tess_strings_release(&field);
    }
    tess_strings_release(&line);
    if (chart->n_pairs == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: no pair of it can be drawn: of %" PRId64
                              " one or both are unknown to the model, of %" PRId64
                              " never trained; lines are perturbation<tab>target",
                              path, chart->n_unknown, chart->n_untrained);
    return TESS_OK;
}

/* All that are in a pair that is drawn, and of the others every step-th. */
static void choose(struct chart *chart, int64_t *n_pairs)
{
    int64_t step = tess_sections_step(chart->map.n, MOST_POINTS);

    *n_pairs = chart->n_pairs < MOST_PAIRS ? chart->n_pairs : MOST_PAIRS;
    for (int64_t i = 0; i < chart->map.n; i += step)
        chart->shown[i] = 1;
    for (int64_t k = 0; k < 2 * *n_pairs; k++)
        chart->shown[chart->pair[k]] = 1;
}

static double size_of(const struct tess_map *map)
{
    double most = 0;

    for (int64_t i = 0; i < map->n * TESS_MAP_AXES; i++)
        most = fmax(most, fabs((double)map->place[i]));
    return most;
}

/* The number of a type in the list, which grows by a new one. */
static json_int_t type_of(json_t *types, const char *symbol)
{
    char *type = tess_target_type(symbol);
    size_t i, n = json_array_size(types);

    for (i = 0; i < n && strcmp(json_string_value(json_array_get(types, i)), type) != 0;)
        i++;
    if (i == n)
        json_array_append_new(types, tess_sections_text(type));
    tess_free(type);
    return (json_int_t)i;
}

/* How many there are of a type, and where it is in the list. */
struct frequency {
    int64_t n, at;
};

static int compare(const void *a, const void *b)
{
    const struct frequency *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : (x->at > y->at) - (x->at < y->at);
}

/* The most frequent keep their names, in order of their frequency. */
static void limit_types(json_t *types, json_t *type)
{
    size_t n = json_array_size(types);
    struct frequency *list = TESS_NEW(struct frequency, n);
    int64_t *to = TESS_NEW(int64_t, n);
    json_t *kept = json_array();

    for (size_t t = 0; t < n; t++)
        list[t].at = (int64_t)t;
    for (size_t i = 0; i < json_array_size(type); i++)
        list[json_integer_value(json_array_get(type, i))].n++;
    if (n > MOST_TYPES)
        qsort(list, n, sizeof *list, compare);
    for (size_t t = 0; t < n; t++) {
        to[list[t].at] = n > MOST_TYPES && t > MOST_TYPES ? MOST_TYPES : (int64_t)t;
        if (n <= MOST_TYPES || t < MOST_TYPES)
            json_array_append(kept, json_array_get(types, (size_t)list[t].at));
        else if (t == MOST_TYPES)
            json_array_append_new(kept, json_string("other"));
    }
    for (size_t i = 0; i < json_array_size(type); i++)
        json_array_set_new(type, i, json_integer(to[json_integer_value(json_array_get(type, i))]));
    json_array_clear(types);
    json_array_extend(types, kept);
    json_decref(kept);
    tess_free(list);
    tess_free(to);
}

static json_t *points_json(const struct chart *chart, int64_t n_pairs)
{
    const struct tess_map *map = &chart->map;
    json_t *names = json_array(), *types = json_array(), *type = json_array(), *pairs;
    json_t *axis[TESS_MAP_AXES] = {json_array(), json_array()};
    double step = size_of(map) * GRID;
    int64_t *at = TESS_NEW(int64_t, map->n), n = 0;

    for (int64_t i = 0; i < map->n; i++) {
        const char *symbol = chart->model->perturbation.symbol[map->number[i]];

        if (!chart->shown[i])
            continue;
        at[i] = n++;
        json_array_append_new(names, tess_sections_text(symbol));
        json_array_append_new(type, json_integer(type_of(types, symbol)));
        for (int a = 0; a < TESS_MAP_AXES; a++) {
            double x = (double)map->place[i * TESS_MAP_AXES + a];

            json_array_append_new(axis[a], json_real(step > 0 ? step * round(x / step) : 0));
        }
    }
    limit_types(types, type);
    pairs = json_array();
    for (int64_t k = 0; k < n_pairs; k++)
        json_array_append_new(pairs, json_pack("[I, I]", (json_int_t)at[chart->pair[2 * k]],
                                               (json_int_t)at[chart->pair[2 * k + 1]]));
    tess_free(at);
    return json_pack("{s:[f, f], s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "variance_share",
                     map->share[0], map->share[1], "trained", (json_int_t)map->n, "types", types,
                     "perturbation", names, "type", type, "x", axis[0], "y", axis[1], "pairs",
                     pairs, "pairs_in_all", (json_int_t)chart->n_pairs, "pairs_left_out",
                     (json_int_t)(chart->n_unknown + chart->n_untrained));
}

json_t *tess_sections_map(const struct tess_report *report, const struct tess_model *model,
                          struct tess_error *error)
{
    struct chart chart = {.model = model};
    json_t *all = NULL;
    int64_t n_pairs;

    if (tess_map_make(&chart.map, model, error) == TESS_OK) {
        chart.place = TESS_NEW(int64_t, model->perturbation.n);
        chart.shown = TESS_NEW(uint8_t, chart.map.n);
        for (int64_t i = 0; i < model->perturbation.n; i++)
            chart.place[i] = -1;
        for (int64_t i = 0; i < chart.map.n; i++)
            chart.place[chart.map.number[i]] = i;
        if (!report->pairs || read_pairs(&chart, report->pairs, error) == TESS_OK) {
            choose(&chart, &n_pairs);
            all = chart.map.n < 3 ? tess_sections_missing("Fewer than three perturbations were "
                                                          "trained: they make no map.")
                                  : points_json(&chart, n_pairs);
        }
    }
    tess_map_release(&chart.map);
    tess_free(chart.place);
    tess_free(chart.shown);
    tess_free(chart.pair);
    return all;
}
