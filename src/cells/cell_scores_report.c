/* cell_scores_report.c -- a network's scores by single cells, for people and programs. */
#include "tessera/cell_scores.h"

#include "tessera/cell_groups.h"

#include <inttypes.h>
#include <math.h>

static void print_number(FILE *out, double x)
{
    if (isnan(x))
        fprintf(out, "         -");
    else
        fprintf(out, fabs(x) < 1000 ? "%10.4f" : "%10.4g", x);
}

static void print_score(FILE *out, const struct tess_cell_score *score)
{
    print_number(out, score->distance);
    print_number(out, score->error);
    print_number(out, score->changed);
    print_number(out, score->omission);
}

/* Averages are of fewer pairs where values are missing. */
static void print_unmeasured(const struct tess_cell_scores *scores, FILE *out)
{
    for (int d = 0; d < scores->n_depths; d++)
        for (int which = 0; which < 2 && scores->depth[d] <= scores->n_edges; which++) {
            const struct tess_cell_score *score = which ? &scores->random[d] : &scores->list[d];

            if (score->n_measured == scores->depth[d] &&
                score->n_omitted_measured == score->n_omitted)
                continue;
            fprintf(out,
                    "%s: %" PRId64 " of the best %" PRId64 " edges and %" PRId64 " of %" PRId64
                    " omitted pairs have enough measured values and count\n",
                    which ? "random network" : "network", score->n_measured, scores->depth[d],
                    score->n_omitted_measured, score->n_omitted);
        }
}

void tess_cell_scores_print(const struct tess_cell_scores *scores, FILE *out)
{
    const struct tess_cell_options *cells = scores->cells;

    fprintf(out,
            "%s beside cells of %s%s%s: %" PRId64 " perturbed genes, %" PRId64 " readouts, %" PRId64
            " pairs; %" PRId64 " cells, %" PRId64 " controls\n\n",
            scores->edges, cells->path, cells->context ? ", " : "",
            cells->context ? cells->context : "", scores->n_genes, scores->n_readouts,
            scores->n_all, scores->n_perturbed_cells, scores->n_control_cells);
    fprintf(out, "%10s  %-40s  %s\n", "", "network", "random network of as many edges");
    fprintf(out, "%10s  %10s%10s%10s%10s  %10s%10s%10s%10s\n", "best edges", "distance", "+-",
            "p < 0.05", "omission", "distance", "+-", "p < 0.05", "omission");
    for (int d = 0; d < scores->n_depths; d++) {
        fprintf(out, "%10" PRId64 "  ", scores->depth[d]);
        print_score(out, &scores->list[d]);
        fprintf(out, "  ");
        print_score(out, &scores->random[d]);
        fprintf(out, "%s\n",
                scores->depth[d] > scores->n_edges ? "  (there are fewer)"
                : scores->list[d].n_omitted == 0   ? "  (every pair is connected: none is omitted)"
                                                   : "");
    }
    fprintf(out,
            "\ndistance: mean Wasserstein distance; omission: share of up to %" PRId64
            " pairs without a path of at most %" PRId64 " edge%s whose p is below 0.05\n",
            scores->n_pairs, scores->path_length, scores->path_length == 1 ? "" : "s");
    fprintf(out,
            "left out: %" PRId64 " edges of genes that too few cells lost, %" PRId64
            " to genes that are not read out, %" PRId64 " of a gene with itself\n",
            scores->n_unperturbed, scores->n_unread, scores->n_self);
    print_unmeasured(scores, out);
}

static void set(json_t *object, const char *name, double x)
{
    json_object_set_new(object, name, isfinite(x) ? json_real(x) : json_null());
}

/* Undefined is null. */
static json_t *score_json(const struct tess_cell_score *score)
{
    json_t *object = json_object();

    json_object_set_new(object, "measured_edges", json_integer((json_int_t)score->n_measured));
    set(object, "distance", score->distance);
    set(object, "distance_error", score->error);
    set(object, "changed", score->changed);
    set(object, "false_omission_rate", score->omission);
    set(object, "omitted_distance", score->omitted_distance);
    json_object_set_new(object, "omitted_pairs", json_integer((json_int_t)score->n_omitted));
    json_object_set_new(object, "omitted_pairs_measured",
                        json_integer((json_int_t)score->n_omitted_measured));
    json_object_set_new(object, "pairs_without_path", json_integer((json_int_t)score->n_free));
    return object;
}

json_t *tess_cell_scores_json(const struct tess_cell_scores *scores)
{
    json_t *object = json_object(), *networks = json_array();

    for (int d = 0; d < scores->n_depths; d++) {
        json_t *one =
            json_pack("{s:I, s:o, s:o}", "edges", (json_int_t)scores->depth[d], "network",
                      score_json(&scores->list[d]), "random", score_json(&scores->random[d]));

        if (scores->depth[d] > scores->n_edges)
            json_object_set_new(one, "reason", json_string("there are fewer edges"));
        json_array_append_new(networks, one);
    }
    json_object_set_new(object, "edges", json_string(scores->edges));
    json_object_set_new(object, "cells", json_string(scores->cells->path));
    json_object_set_new(object, "path_length", json_integer((json_int_t)scores->path_length));
    json_object_set_new(object, "networks", networks);
    json_object_set_new(
        object, "counts",
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "edges",
                  (json_int_t)scores->n_edges, "self", (json_int_t)scores->n_self, "unperturbed",
                  (json_int_t)scores->n_unperturbed, "unread", (json_int_t)scores->n_unread,
                  "genes", (json_int_t)scores->n_genes, "readouts", (json_int_t)scores->n_readouts,
                  "pairs", (json_int_t)scores->n_all, "cells",
                  (json_int_t)scores->n_perturbed_cells, "controls",
                  (json_int_t)scores->n_control_cells));
    return object;
}
