/* sections_network.c -- the strongest edges of a list, and how right the list is. */
#include "sections.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_EDGES 80

enum { REGULATOR, TARGET, SCORE, SIGN, COLUMNS };
static const char *const column[COLUMNS] = {"regulator", "target", "score", "sign"};

struct edge {
    double score;
    int64_t line;
    char *regulator, *target, *sign; /* own */
};

/* The strongest first, then in the order of the file. */
static int compare(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;

    return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
                                : (x->line > y->line) - (x->line < y->line);
}

static void release_edge(struct edge *edge)
{
    tess_free(edge->regulator);
    tess_free(edge->target);
    tess_free(edge->sign);
}

/* Keeps the best of an ordered list; *n grows up to MOST_EDGES. 0: its score is no finite number.
 */
static int keep(struct edge *best, int *n, const struct tess_sections_table *table, int64_t line)
{
    struct edge edge = {tess_sections_table_number(table, SCORE), line, NULL, NULL, NULL};
    int at = *n;

    if (!isfinite(edge.score))
        return 0;
    if (at == MOST_EDGES && compare(&best[at - 1], &edge) <= 0)
        return 1;
    edge.regulator = tess_strdup(tess_sections_table_word(table, REGULATOR));
    edge.target = tess_strdup(tess_sections_table_word(table, TARGET));
    edge.sign = tess_strdup(tess_sections_table_word(table, SIGN));
    if (at == MOST_EDGES)
        release_edge(&best[--at]);
    else
        ++*n;
    for (; at > 0 && compare(&best[at - 1], &edge) > 0; at--)
        best[at] = best[at - 1];
    best[at] = edge;
    return 1;
}

/* The strongest edges into best (MOST_EDGES), which are to be released: how many. lines: of the
 * file, and those of them whose score is no finite number. */
static int read_edges(const char *path, struct edge *best, int64_t lines[2],
                      struct tess_error *error)
{
    struct tess_sections_table table;
    int n = 0;

    lines[0] = lines[1] = 0;
    if (tess_sections_table_open(&table, path, NULL,
                                 &(struct tess_sections_columns){COLUMNS, 3, column},
                                 error) == TESS_OK)
        while (tess_sections_table_next(&table, error) == 1)
            lines[1] += !keep(best, &n, &table, lines[0]++);
    tess_sections_table_release(&table);
    if (error->code == TESS_OK && n == 0)
        tess_error_set(error, TESS_EDATA, "%s: has no edge whose score is a finite number", path);
    return n;
}

static json_t *edges_json(int n, const struct edge *best)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_pack("[o, o, f, o]", tess_sections_text(best[i].regulator),
                                              tess_sections_text(best[i].target), best[i].score,
                                              tess_sections_text(best[i].sign)));
    return list;
}

/* Of the n strongest edges: true, false, or null where the standard says nothing. */
static json_t *known_json(const struct tess_gold_question *question)
{
    json_t *list = json_array();

    for (int64_t i = 0; i < question->n; i++)
        json_array_append_new(list, question->answer[i] < 0 ? json_null()
                                                            : json_boolean(question->answer[i]));
    return list;
}

static json_t *gold_json(const struct tess_report *report, int n, const struct edge *best,
                         struct tess_error *error)
{
    const char *name[2 * MOST_EDGES];
    int8_t answer[MOST_EDGES];
    struct tess_gold_question question = {n, name, answer};
    struct tess_gold_curve curve = {.n = 0};
    struct tess_gold gold = {.edges = report->network,
                             .path = report->gold,
                             .question = &question,
                             .n_depths = 3,
                             .depth = {10, 100, 1000},
                             .curve = &curve};
    json_t *all = NULL, *points = json_array();

    for (int i = 0; i < n; i++) {
        name[2 * i] = best[i].regulator;
        name[2 * i + 1] = best[i].target;
    }
    if (tess_gold_score(&gold, error) == TESS_OK) {
        all = tess_gold_json(&gold);
        for (int64_t i = 0; i < curve.n; i++)
            json_array_append_new(points,
                                  json_pack("[f, f]", curve.point[2 * i], curve.point[2 * i + 1]));
        json_object_set(all, "curve", points);
        json_object_set_new(all, "known", known_json(&question));
    }
    json_decref(points);
    tess_gold_curve_release(&curve);
    return all;
}

json_t *tess_sections_network(const struct tess_report *report, struct tess_error *error)
{
    struct edge best[MOST_EDGES];
    int64_t lines[2];
    json_t *all;
    int n;

    if (!report->network)
        return tess_sections_missing("No network was given: make one (tessera network infer … -o "
                                     "edges.tsv) and give it with --network edges.tsv.");
    n = read_edges(report->network, best, lines, error);
    all = json_pack("{s:o, s:I, s:I, s:o}", "file", tess_sections_text(report->network), "in_all",
                    (json_int_t)lines[0], "without_score", (json_int_t)lines[1], "edges",
                    edges_json(n, best));
    if (error->code == TESS_OK)
        json_object_set_new(
            all, "gold",
            report->gold
                ? gold_json(report, n, best, error)
                : tess_sections_missing("No network that is known was given: with --gold FILE the "
                                        "list is scored beside it, and its precision–recall curve "
                                        "stands here."));
    for (int i = 0; i < n; i++)
        release_edge(&best[i]);
    return all;
}
