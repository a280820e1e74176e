/* cell_list.c -- which edges of a list count: of a gene that was perturbed, to another readout. */
#include "cell_list.h"

#include "tessera/alloc.h"
#include "tessera/cell_groups.h"
#include "tessera/edge_list.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct listed {
    double score;
    int64_t line;
    struct tess_cell_pair pair;
};

struct reading {
    struct tess_cell_scores *scores;
    const struct tess_cell_groups *groups;
    struct listed *edge; /* own */
    size_t room;
};

static int by_score(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

static int by_pair(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;

    if (a->pair.regulator != b->pair.regulator)
        return a->pair.regulator < b->pair.regulator ? -1 : 1;
    if (a->pair.target != b->pair.target)
        return a->pair.target < b->pair.target ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

static int64_t find(const struct tess_vocab *vocab, const struct tess_field *name)
{
    return name->n > (size_t)vocab->width ? -1 : tess_vocab_find_n(vocab, name->text, name->n);
}

static void take(struct reading *reading, const struct tess_field name[2], double score,
                 int64_t line)
{
    struct tess_cell_scores *scores = reading->scores;
    int64_t regulator = find(&reading->groups->gene, &name[0]);
    int64_t target = find(&reading->groups->readout, &name[1]);

    if (name[0].n == name[1].n && memcmp(name[0].text, name[1].text, name[0].n) == 0)
        scores->n_self++;
    else if (regulator < 0)
        scores->n_unperturbed++;
    else if (target < 0)
        scores->n_unread++;
    else {
        reading->edge = tess_grow(reading->edge, &reading->room, (size_t)scores->n_edges + 1,
                                  sizeof *reading->edge);
        reading->edge[scores->n_edges++] =
            (struct listed){score, line, {(int32_t)regulator, (int32_t)target}};
    }
}

/* A pair with two scores is an error; the later line is named. */
static int check_distinct(const struct reading *reading, struct tess_error *error)
{
    const struct tess_cell_scores *scores = reading->scores;

    for (int64_t k = 1; k < scores->n_edges; k++) {
        const struct listed *a = &reading->edge[k - 1], *b = &reading->edge[k];

        if (a->pair.regulator == b->pair.regulator && a->pair.target == b->pair.target)
            return tess_error_set(
                error, TESS_EDATA,
                "%s:%" PRId64 ": '%s' to '%s' is there already: an edge has one score",
                scores->edges, b->line, reading->groups->gene.symbol[a->pair.regulator],
                reading->groups->readout.symbol[a->pair.target]);
    }
    return TESS_OK;
}

static int read_lines(struct reading *reading, struct tess_error *error)
{
    struct tess_edge_list list;
    struct tess_field name[2];
    double score;
    int64_t n = 0;

    if (tess_edge_list_open(&list, reading->scores->edges, 1, error) == TESS_OK)
        while (tess_edge_list_next(&list, name, &score, error) == 1) {
            take(reading, name, score, list.lines.number);
            n++;
        }
    tess_edge_list_release(&list);
    if (error->code == TESS_OK && n == 0)
        tess_error_set(error, TESS_EDATA, "%s: holds no edge", reading->scores->edges);
    else if (error->code == TESS_OK && reading->scores->n_edges == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no edge of it runs from a gene that was perturbed in %s to one that is "
                       "read out there: are the names of one kind?",
                       reading->scores->edges, reading->groups->options->path);
    return error->code;
}

int tess_cell_list_read(struct tess_cell_scores *scores, const struct tess_cell_groups *groups,
                        struct tess_cell_pair **edge, struct tess_error *error)
{
    struct reading reading = {.scores = scores, .groups = groups};
    size_t n;

    *edge = NULL;
    if (read_lines(&reading, error) == TESS_OK) {
        n = (size_t)scores->n_edges;
        qsort(reading.edge, n, sizeof *reading.edge, by_pair);
        if (check_distinct(&reading, error) == TESS_OK) {
            qsort(reading.edge, n, sizeof *reading.edge, by_score);
            *edge = TESS_NEW(struct tess_cell_pair, n);
            for (size_t k = 0; k < n; k++)
                (*edge)[k] = reading.edge[k].pair;
        }
    }
    tess_free(reading.edge);
    return error->code;
}
