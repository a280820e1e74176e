/* gold.c -- AUROC, average precision and precision at k of a list of edges.
 *
 * The standard's pairs are those it lists as 1 or 0. If it lists true ones alone, they are all
 * pairs of a gene in its first column and another gene that it names. */
#include "tessera/gold.h"

#include "tessera/alloc.h"
#include "tessera/edge_list.h"
#include "tessera/error.h"
#include "tessera/intern.h"
#include "tessera/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAID_FROM 1e8 /* bytes from which on they are said */

enum { OUTSIDE, FALSE_PAIR, TRUE_PAIR };

/* To be sorted. */
struct pair {
    double score;
    int is_true;
};

struct work {
    struct tess_gold *gold;
    struct tess_intern gene;
    int64_t *row; /* (n_genes) of a gene that stands in the first column, else -1; own */
    int64_t n_rows;
    uint8_t *label; /* (n_rows, n_genes) own */
    double *score; /* (n_rows, n_genes) -infinity: not in the list; own */
    /* edges of the standard, before the number of genes is known */
    int64_t *pair; /* (n, 3) own */
    int64_t n;
    size_t room;
    int has_false;
};

/* ---- the standard ---- */

static int add_pair(struct work *work, const struct tess_edge_list *list,
                    const struct tess_field name[2], double number, struct tess_error *error)
{
    int64_t *pair;

    if (number != 0 && number != 1)
        return tess_error_set(error, TESS_EDATA, "%s:%" PRId64 ": an edge is 1 (true) or 0",
                              list->path, list->lines.number);
    work->pair = tess_grow(work->pair, &work->room, (size_t)work->n + 1, 3 * sizeof *pair);
    pair = work->pair + 3 * work->n++;
    for (int k = 0; k < 2; k++)
        pair[k] = tess_intern_add(&work->gene, name[k].text, name[k].n);
    pair[2] = number == 1 ? TRUE_PAIR : FALSE_PAIR;
    work->has_false |= number == 0;
    return TESS_OK;
}

/* A row for each gene of the first column: of 20 000 genes most are no regulators. */
static int make_rows(struct work *work, struct tess_error *error)
{
    int64_t g = work->gene.n;
    double bytes;

    if (work->n == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: holds no pair: lines are a regulator, a target and 1 or 0",
                              work->gold->path);
    work->row = TESS_NEW(int64_t, g);
    for (int64_t i = 0; i < g; i++)
        work->row[i] = -1;
    for (int64_t k = 0; k < work->n; k++)
        if (work->row[work->pair[3 * k]] < 0)
            work->row[work->pair[3 * k]] = work->n_rows++;
    bytes = (double)work->n_rows * (double)g * (1 + sizeof(double) + sizeof(struct pair));
    if (bytes > SAID_FROM)
        tess_info("%s: %" PRId64 " regulators, %" PRId64 " genes; up to %.3g GB", work->gold->path,
                  work->n_rows, g, bytes / 1e9);
    work->label =
        tess_alloc_large((size_t)(work->n_rows * g), 1, "pairs of the gold standard", error);
    work->score =
        tess_alloc_large((size_t)(work->n_rows * g), sizeof(double), "scores of pairs", error);
    return error->code;
}

/* Labels of all pairs. */
static int label_pairs(struct work *work, struct tess_error *error)
{
    int64_t g = work->gene.n;

    if (make_rows(work, error) != TESS_OK)
        return error->code;
    for (int64_t i = 0; i < work->n_rows * g; i++) {
        work->label[i] = work->has_false ? OUTSIDE : FALSE_PAIR;
        work->score[i] = -INFINITY;
    }
    for (int64_t i = 0; i < g; i++)
        if (work->row[i] >= 0)
            work->label[work->row[i] * g + i] = OUTSIDE; /* with itself */
    for (int64_t k = 0; k < work->n; k++) {
        const int64_t *pair = work->pair + 3 * k;
        uint8_t *label = &work->label[work->row[pair[0]] * g + pair[1]];

        if (pair[0] == pair[1]) {
            work->gold->n_self++;
            continue;
        }
        if (work->has_false && *label != OUTSIDE && *label != pair[2])
            return tess_error_set(error, TESS_EDATA, "%s: '%s' to '%s' is both 1 and 0",
                                  work->gold->path, work->gene.text[pair[0]],
                                  work->gene.text[pair[1]]);
        *label = (uint8_t)pair[2];
    }
    return TESS_OK;
}

static int read_standard(struct work *work, struct tess_error *error)
{
    struct tess_edge_list list;
    struct tess_field name[2];
    double number;

    if (tess_edge_list_open(&list, work->gold->path, 0, error) == TESS_OK)
        while (error->code == TESS_OK && tess_edge_list_next(&list, name, &number, error) == 1)
            add_pair(work, &list, name, number, error);
    tess_edge_list_release(&list);
    if (error->code == TESS_OK)
        label_pairs(work, error);
    work->gold->n_genes = work->gene.n;
    return error->code;
}

/* ---- the list ---- */

/* Where a pair is among labels and scores; -1: the standard says nothing of it. */
static int64_t find_pair(const struct work *work, int64_t regulator, int64_t target)
{
    int64_t at = regulator < 0 || target < 0 || work->row[regulator] < 0
                     ? -1
                     : work->row[regulator] * work->gene.n + target;

    return at >= 0 && work->label[at] == OUTSIDE ? -1 : at;
}

static int take_edge(struct work *work, const struct tess_edge_list *list,
                     struct tess_field name[2], double score, struct tess_error *error)
{
    int64_t a = tess_intern_find(&work->gene, name[0].text, name[0].n);
    int64_t b = tess_intern_find(&work->gene, name[1].text, name[1].n);
    int64_t at = find_pair(work, a, b);

    if (name[0].n == name[1].n && memcmp(name[0].text, name[1].text, name[0].n) == 0)
        work->gold->n_self++;
    else if (at < 0)
        work->gold->n_outside++;
    else if (work->score[at] > -INFINITY)
        return tess_error_set(
            error, TESS_EDATA,
            "%s:%" PRId64 ": '%s' to '%s' is there already: an edge has one score", list->path,
            list->lines.number, work->gene.text[a], work->gene.text[b]);
    else {
        work->score[at] = fmax(score, -1.7e308);
        work->gold->n_scored++;
    }
    return TESS_OK;
}

static int read_list(struct work *work, struct tess_error *error)
{
    struct tess_edge_list list;
    struct tess_field name[2];
    double score;
    int64_t n = 0;

    if (tess_edge_list_open(&list, work->gold->edges, 1, error) == TESS_OK)
        while (error->code == TESS_OK && tess_edge_list_next(&list, name, &score, error) == 1) {
            take_edge(work, &list, name, score, error);
            n++;
        }
    tess_edge_list_release(&list);
    if (error->code == TESS_OK && n == 0)
        return tess_error_set(error, TESS_EDATA, "%s: holds no edge", work->gold->edges);
    if (error->code == TESS_OK && work->gold->n_scored == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no edge of it is between genes of %s: are the names of one kind?",
                       work->gold->edges, work->gold->path);
    return error->code;
}

/* ---- single pairs ---- */

static void answer(const struct work *work, struct tess_gold_question *question)
{
    for (int64_t i = 0; i < question->n; i++) {
        const char *const *name = question->name + 2 * i;
        int64_t a = tess_intern_find(&work->gene, name[0], strlen(name[0]));
        int64_t b = tess_intern_find(&work->gene, name[1], strlen(name[1]));
        int64_t at = find_pair(work, a, b);

        question->answer[i] = (int8_t)(at < 0 ? -1 : work->label[at] == TRUE_PAIR);
    }
}

/* ---- scores ---- */

static int compare(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;

    return (a->score < b->score) - (a->score > b->score);
}

/* Pairs of one score are taken together: hits grow by `hits` while pairs grow by `n`. */
static void add_group(struct tess_gold *gold, const int64_t before[2], int64_t hits, int64_t n)
{
    double true_pairs = (double)gold->n_true, below = (double)(gold->n_pairs - gold->n_true) -
                                                      (double)(before[1] - before[0]) -
                                                      (double)(n - hits);

    gold->auroc += (double)hits * (below + (double)(n - hits) / 2) /
                   (true_pairs * (double)(gold->n_pairs - gold->n_true));
    gold->aupr += (double)hits / true_pairs * (double)(before[0] + hits) / (double)(before[1] + n);
    for (int k = 0; k < gold->n_depths; k++) {
        int64_t depth = gold->depth[k];

        if (depth > before[1] && depth <= before[1] + n)
            gold->precision[k] =
                ((double)before[0] + (double)hits * (double)(depth - before[1]) / (double)n) /
                (double)depth;
    }
}

/* Steps of recall below 1/400 are left out, but not the last one. */
static void add_point(const struct tess_gold *gold, int64_t hits, int64_t n)
{
    struct tess_gold_curve *curve = gold->curve;
    double recall = (double)hits / (double)gold->n_true, last;

    if (!curve)
        return;
    last = curve->n > 0 ? curve->point[2 * curve->n - 2] : 0;
    if (curve->n > 0 && recall - last < 1.0 / 400 && (hits < gold->n_true || recall <= last))
        return;
    curve->point =
        tess_grow(curve->point, &curve->room, (size_t)curve->n + 1, 2 * sizeof *curve->point);
    curve->point[2 * curve->n] = recall;
    curve->point[2 * curve->n + 1] = (double)hits / (double)n;
    curve->n++;
}

static void score_pairs(struct tess_gold *gold, const struct pair *pair)
{
    int64_t before[2] = {0, 0}; /* hits, pairs */

    for (int k = 0; k < gold->n_depths; k++)
        gold->precision[k] = NAN;
    for (int64_t i = 0, end; i < gold->n_pairs; i = end) {
        int64_t hits = 0;

        for (end = i; end < gold->n_pairs && compare(&pair[i], &pair[end]) == 0; end++)
            hits += pair[end].is_true;
        add_group(gold, before, hits, end - i);
        before[0] += hits;
        before[1] = end;
        add_point(gold, before[0], end);
    }
}

static int score(struct work *work, struct tess_error *error)
{
    struct tess_gold *gold = work->gold;
    int64_t n_places = work->n_rows * work->gene.n, n = 0;
    struct pair *pair;

    for (int64_t i = 0; i < n_places; i++) {
        gold->n_pairs += work->label[i] != OUTSIDE;
        gold->n_true += work->label[i] == TRUE_PAIR;
    }
    if (gold->n_true == 0 || gold->n_true == gold->n_pairs)
        return tess_error_set(error, TESS_EDATA,
                              "%s: %" PRId64 " pairs, of which %" PRId64
                              " are edges: a score needs "
                              "both edges and others",
                              gold->path, gold->n_pairs, gold->n_true);
    pair = tess_alloc_large((size_t)gold->n_pairs, sizeof *pair, "scored pairs", error);
    if (!pair)
        return error->code;
    for (int64_t i = 0; i < n_places; i++)
        if (work->label[i] != OUTSIDE)
            pair[n++] = (struct pair){work->score[i], work->label[i] == TRUE_PAIR};
    qsort(pair, (size_t)n, sizeof *pair, compare);
    score_pairs(gold, pair);
    tess_free(pair);
    return TESS_OK;
}

int tess_gold_score(struct tess_gold *gold, struct tess_error *error)
{
    struct work work = {.gold = gold};

    if (read_standard(&work, error) == TESS_OK && read_list(&work, error) == TESS_OK &&
        score(&work, error) == TESS_OK && gold->question)
        answer(&work, gold->question);
    tess_intern_release(&work.gene);
    tess_free(work.label);
    tess_free(work.score);
    tess_free(work.row);
    tess_free(work.pair);
    return error->code;
}

void tess_gold_curve_release(struct tess_gold_curve *curve)
{
    tess_free(curve->point);
    *curve = (struct tess_gold_curve){.n = 0};
}
