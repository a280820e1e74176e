/* scorecard_print.c -- the scores for people. */
#include "tessera/scorecard.h"

#include "tessera/model.h"
#include "tessera/alloc.h"
#include "tessera/evaluate.h"

#include <math.h>
#include <string.h>

#define CONTEXTS_SHOWN 12

static const struct {
    int metric;
    const char *title;
} columns[] = {
    {TESS_RMSE, "rmse"},
    {TESS_R2, "r2"},
    {TESS_PEARSON, "pearson"},
    {TESS_CHANGE + TESS_M_PEARSON, "r delta"},
    {TESS_CHANGE + TESS_MEASURES + TESS_M_PEARSON, "r ctxmean"},
    {TESS_CHANGE + TESS_MEASURES + TESS_M_SPEARMAN, "rho ctxmean"},
    {TESS_DISCRIMINATION + 1, "discrim. l2"},
    {TESS_OVERLAP, "overlap 20"},
};
#define N_COLUMNS (sizeof columns / sizeof columns[0])

static void print_number(FILE *out, double x)
{
    if (isnan(x))
        fprintf(out, " %11s", "-");
    else
        fprintf(out, " %11.4f", x);
}

static void print_wide(FILE *out, double x)
{
    if (isnan(x))
        fprintf(out, "    %12s", "-");
    else
        fprintf(out, "    %12.4f", x);
}

#define NAME_WIDTH 20

/* Of what is scored first; own of the caller. */
static char *first_name(const struct tess_evaluation *evaluation)
{
    return evaluation->options.predictions ? tess_strdup("predictions")
                                           : tess_blender_name(&evaluation->blender);
}

static void print_method(FILE *out, int width, const char *name, const struct tess_estimate *own)
{
    fprintf(out, "%-*s", width, name);
    for (size_t i = 0; i < N_COLUMNS; i++)
        print_number(out, own[columns[i].metric].value);
    fputc('\n', out);
}

/* How wide the names of methods are; its titles follow. */
static int print_titles(FILE *out, const char *corner, const char *name)
{
    int width = name && strlen(name) > NAME_WIDTH ? (int)strlen(name) : NAME_WIDTH;

    fprintf(out, "%-*s", width, corner);
    for (size_t i = 0; i < N_COLUMNS; i++)
        fprintf(out, " %11s", columns[i].title);
    fputc('\n', out);
    return width;
}

/* Is it of use with features alone? */
static void print_group(const struct tess_evaluation *evaluation, const struct tess_group *group,
                        FILE *out)
{
    char *name = first_name(evaluation);
    int first = evaluation->has_model, width = print_titles(out, "", first ? name : NULL);

    if (first)
        print_method(out, width, name, group->outcome.own);
    tess_free(name);
    for (int b = 0; b < TESS_BASELINES; b++)
        if (!tess_baselines_have(&evaluation->baselines, b))
            continue; /* nobody asked for it */
        else if (tess_evaluate_excuse(evaluation, group, b))
            fprintf(out, "%-*s %11s  %s\n", width, tess_baseline_name(b), "-",
                    tess_evaluate_excuse(evaluation, group, b));
        else
            print_method(out, width, tess_baseline_name(b),
                         group->outcome.own + (first + b) * TESS_METRICS);
    if (group->ceiling.n_experiments > 0) {
        fprintf(out, "%-*s", width, "noise ceiling");
        for (size_t i = 0; i < N_COLUMNS; i++)
            print_number(out, columns[i].metric < TESS_DISCRIMINATION
                                  ? tess_ceiling_value(&group->ceiling, columns[i].metric)
                                  : NAN);
        fprintf(out, "  (%lld experiments with replicates)\n",
                (long long)group->ceiling.n_experiments);
    }
}

/* The same between the ends, where there is a ceiling. */
static void print_scaled(const struct tess_evaluation *evaluation, const struct tess_group *group,
                         FILE *out)
{
    const struct tess_estimate *scaled = group->outcome.scaled;
    int first = evaluation->has_model, width;
    char *name;

    if (group->ceiling.n_experiments == 0)
        return;
    name = first_name(evaluation);
    fprintf(out, "\n0: the mean of the context's perturbations; 1: the noise ceiling, or a perfect "
                 "score of what has none\n");
    if (group->ceiling.n_experiments < group->n)
        fprintf(out,
                "(the ceiling is that of %lld experiments with replicates, of %lld: others may "
                "be easier or harder)\n",
                (long long)group->ceiling.n_experiments, (long long)group->n);
    width = print_titles(out, "scaled", first ? name : NULL);
    if (first)
        print_method(out, width, name, scaled);
    for (int b = 0; b < TESS_BASELINES; b++)
        if (b != TESS_READOUT_MEAN && tess_baselines_have(&evaluation->baselines, b) &&
            !tess_evaluate_excuse(evaluation, group, b))
            print_method(out, width, tess_baseline_name(b), scaled + (first + b) * TESS_METRICS);
    tess_free(name);
}

/* rmse, and the difference to each baseline: does the interval leave out zero? */
static void print_differences(const struct tess_evaluation *evaluation, FILE *out)
{
    const struct tess_group *all = &evaluation->group[0];

    fprintf(out, "\n%-20s %11s %25s %9s %25s\n", "against", "rmse diff.", "95 % interval", "skill",
            "r ctxmean diff.");
    for (int b = 0; b < TESS_BASELINES; b++) {
        const struct tess_estimate *difference = all->outcome.difference + (1 + b) * TESS_METRICS;
        const struct tess_estimate *r = &difference[TESS_CHANGE + TESS_MEASURES];

        if (!tess_baselines_have(&evaluation->baselines, b) ||
            tess_evaluate_excuse(evaluation, all, b))
            continue;
        fprintf(out, "%-20s %+11.4f       [%+.4f, %+.4f] %9.3f", tess_baseline_name(b),
                difference->value, difference->low, difference->high,
                all->outcome.skill[(1 + b) * TESS_METRICS].value);
        if (isnan(r->value))
            fprintf(out, " %25s\n", "-");
        else
            fprintf(out, " %+7.4f [%+.4f, %+.4f]\n", r->value, r->low, r->high);
    }
}

static const int beside[] = {TESS_READOUT_MEAN, TESS_ADDITIVE, TESS_NEAREST_CONTEXT, TESS_LINEAR};
#define N_BESIDE (sizeof beside / sizeof beside[0])

static void print_heads(const struct tess_evaluation *evaluation, const char *title, FILE *out)
{
    fprintf(out, "\n%-28s %11s %11s", title, "experiments", evaluation->has_model ? "model" : "");
    for (size_t i = 0; i < N_BESIDE; i++)
        fprintf(out, " %15s", tess_baseline_name(beside[i]));
    fprintf(out, " %11s\n", "ceiling");
}

/* One metric of a group by some methods. */
static void print_line(const struct tess_evaluation *evaluation, const struct tess_group *group,
                       const char *name, int metric, FILE *out)
{
    int first = evaluation->has_model;

    fprintf(out, "%-28.28s %11lld", name, (long long)group->n);
    if (first)
        print_number(out, group->outcome.own[metric].value);
    else
        fprintf(out, " %11s", "");
    for (size_t i = 0; i < N_BESIDE; i++)
        print_wide(out, group->outcome.own[(first + beside[i]) * TESS_METRICS + metric].value);
    print_number(out, tess_ceiling_value(&group->ceiling, metric));
    fputc('\n', out);
}

static void print_contexts(const struct tess_evaluation *evaluation, FILE *out)
{
    int64_t n = evaluation->n_groups - 1;

    print_heads(evaluation, "rmse by context", out);
    for (int64_t g = 1; g <= n && g <= CONTEXTS_SHOWN; g++) {
        const struct tess_group *group = &evaluation->group[g];

        print_line(evaluation, group, evaluation->store->index.context.symbol[group->context],
                   TESS_RMSE, out);
    }
    if (n > CONTEXTS_SHOWN)
        fprintf(out, "… and %lld more contexts (all are in the JSON)\n",
                (long long)(n - CONTEXTS_SHOWN));
}

static void print_deviation(const struct tess_epistasis *epistasis, int m, const char *name,
                            FILE *out)
{
    const struct tess_estimate *own = epistasis->outcome.own + (int64_t)m * TESS_METRICS;

    fprintf(out, "%-*s", NAME_WIDTH, name);
    print_number(out, own[TESS_RMSE].value);
    print_number(out, own[TESS_PEARSON].value);
    print_number(out, own[TESS_CHANGE + TESS_M_PEARSON].value);
    print_number(out, own[TESS_DIRECTION].value);
    print_number(out, epistasis->synergy[m * TESS_CUTS + 1]);
    print_number(out, epistasis->antagonism[m * TESS_CUTS + 1]);
    fputc('\n', out);
}

/* How well deviations from additivity are predicted. */
static void print_epistasis(const struct tess_evaluation *evaluation, FILE *out)
{
    const struct tess_epistasis *epistasis = &evaluation->epistasis;

    if (!evaluation->options.epistasis)
        return;
    if (epistasis->n_experiments == 0) {
        fprintf(out, "\nno deviation from additivity: no scored combination has components that "
                     "are all measured alone in its context\n");
        return;
    }
    fprintf(out,
            "\ndeviations from the sum of the components' changes: %lld combinations in %lld "
            "contexts, %lld values\n",
            (long long)epistasis->outcome.n_perturbations, (long long)epistasis->n_contexts,
            (long long)epistasis->n_values);
    fprintf(out, "%-*s %11s %11s %11s %11s %11s %11s\n", NAME_WIDTH, "", "rmse", "pearson",
            "r each", "direction", "synergy 50", "antag. 50");
    for (int m = 0; m < epistasis->n_methods; m++)
        if (tess_evaluate_epistasis_says(evaluation, m))
            print_deviation(epistasis, m, tess_evaluate_epistasis_method(evaluation, m), out);
}

/* By the number of contexts that the perturbation is trained in, and by the measured change. */
static void print_strata(const struct tess_evaluation *evaluation, FILE *out)
{
    static const int shown[] = {TESS_RMSE, TESS_CHANGE + TESS_MEASURES + TESS_M_PEARSON};
    static const char *const titles[] = {"rmse by stratum", "r ctxmean by stratum"};

    for (int t = 0; t < 2 && evaluation->stratum; t++) {
        print_heads(evaluation, titles[t], out);
        for (int s = 0; s < TESS_STRATA; s++) {
            char *name = s < TESS_WEAK
                             ? tess_format("trained in %s contexts", tess_evaluate_stratum_name(s))
                             : tess_format("%s effect", tess_evaluate_stratum_name(s));

            if (evaluation->stratum[s].n > 0)
                print_line(evaluation, &evaluation->stratum[s], name, shown[t], out);
            tess_free(name);
        }
    }
}

/* What is not scored, and what was averaged. */
static void print_selection(const struct tess_evaluation *evaluation, FILE *out)
{
    const char *who = evaluation->options.predictions ? "the predictions say" : "the model says";
    long long n = (long long)evaluation->unscored.n;

    if (n > 0)
        fprintf(out, "%lld more %s not scored: %s nothing about %s (%s%s)\n", n,
                n > 1 ? "are" : "is", who, n > 1 ? "them" : "it", evaluation->unscored.item[0],
                n > 1 ? ", …" : "");
    if (evaluation->n_left_out > 0)
        fprintf(out,
                "%lld measured values of the scored ones are left out: %s nothing about them\n",
                (long long)evaluation->n_left_out, who);
    if (evaluation->n_unused > 0)
        fprintf(out, "%lld predicted values are not used: nothing is held out for them\n",
                (long long)evaluation->n_unused);
    if (evaluation->n_averaged > 0)
        fprintf(out, "%lld rows of the predictions are averaged: %lld experiment%s several\n",
                (long long)evaluation->n_averaged_rows, (long long)evaluation->n_averaged,
                evaluation->n_averaged > 1 ? "s have" : " has");
    if (!evaluation->has_model)
        fprintf(out, "baselines only: %s\n", evaluation->no_model);
}

/* One sentence, if the model is better than the noise ceiling in what the table shows. */
static void print_above(const struct tess_evaluation *evaluation, const struct tess_group *group,
                        FILE *out)
{
    const char *separator = "";

    for (size_t i = 0; i < N_COLUMNS; i++) {
        int metric = columns[i].metric;

        if (metric >= TESS_DISCRIMINATION || !group->above[metric])
            continue;
        if (!*separator)
            fprintf(out, "\n%s above the noise ceiling in ",
                    evaluation->options.predictions ? "The predictions are" : "The model is");
        fprintf(out, "%s%s", separator, columns[i].title);
        separator = ", ";
    }
    if (*separator)
        fprintf(out, ": %s.\n", tess_evaluate_above);
}

/* How good the deviation of the members is. */
static void print_spread(const struct tess_evaluation *evaluation, FILE *out)
{
    const struct tess_spread *spread = &evaluation->spread;
    const struct tess_coverage *raw = &spread->raw, *calibrated = &spread->calibrated;

    if (!spread->deviation)
        return;
    fprintf(out, "\n%-36s %13s %13s\n",
            evaluation->model->n_members > 1 ? "deviation of the members" : "predicted deviation",
            "within 68 %", "within 95 %");
    fprintf(out, "%-36s %11.1f %% %11.1f %%\n", "as it is", 100 * raw->share[0],
            100 * raw->share[1]);
    if (spread->uncalibrated)
        fprintf(out, "%-36s %13s %13s  (%s)\n", "calibrated", "-", "-", spread->uncalibrated);
    else
        fprintf(out, "%-36s %11.1f %% %11.1f %%  (× %.3g, and noise of %.3g)\n", "calibrated",
                100 * calibrated->share[0], 100 * calibrated->share[1], spread->calibration.scale,
                spread->calibration.noise);
    fprintf(out, "%-36s", "rank correlation with the error");
    print_number(out, spread->rank_correlation);
    fprintf(out, "    (%lld experiments, %lld values)\n", (long long)spread->n_experiments,
            (long long)spread->n);
}

static void print_pair(const struct tess_pair *pair, const char *name, FILE *out)
{
    const struct tess_estimate *own = pair->outcome.own, *of;
    const char *verdict = tess_evaluate_verdict(pair);

    fprintf(out, "%-28.28s %7lld %7lld", name, (long long)pair->n_train, (long long)pair->n);
    if (!own) {
        fprintf(out, "  not compared: %s\n",
                pair->no_pair ? pair->no_pair : "nothing of it is scored");
        return;
    }
    of = pair->outcome.difference + TESS_METRICS + TESS_RMSE;
    print_number(out, own[TESS_RMSE].value);
    print_number(out, own[TESS_METRICS + TESS_RMSE].value);
    if (isnan(of->low))
        fprintf(out, " %+11.4f  %22s", of->value, "-");
    else
        fprintf(out, " %+11.4f  [%+9.4f, %+9.4f]", of->value, of->low, of->high);
    print_number(out, own[TESS_PEARSON].value);
    print_number(out, own[TESS_METRICS + TESS_PEARSON].value);
    fprintf(out, "  %s%s\n", verdict ? verdict : "too few perturbations",
            pair->n_by_mean == pair->n ? " (alone: the context's mean)" : "");
}

/* What the other contexts gave each one. */
static void print_transfer(const struct tess_evaluation *evaluation, FILE *out)
{
    int64_t by_mean = 0, n = 0;

    if (!evaluation->pair)
        return;
    fprintf(out, "\nthe model of all contexts beside one of each context alone, neither blended "
                 "with a baseline\n");
    fprintf(out, "%-28s %7s %7s %11s %11s %11s  %22s %11s %11s  %s\n", "", "trained", "scored",
            "rmse of all", "alone", "difference", "95 % interval", "r of all", "alone",
            "the others");
    for (int64_t i = 0; i < evaluation->n_pairs; i++) {
        const struct tess_pair *pair = &evaluation->pair[i];

        print_pair(pair, evaluation->store->index.context.symbol[pair->context], out);
        by_mean += pair->n_by_mean;
        n += pair->outcome.own ? pair->n : 0;
    }
    if (by_mean > 0)
        fprintf(out,
                "of %lld of these %lld experiments the context alone knows no perturbation: the "
                "mean of its training perturbations stands for it\n",
                (long long)by_mean, (long long)n);
}

void tess_scorecard_print(const struct tess_evaluation *evaluation, FILE *out)
{
    const struct tess_group *all = &evaluation->group[0];

    fprintf(out,
            "%lld experiments of split '%s': %lld perturbations in %lld contexts, %lld values\n",
            (long long)all->n, tess_split_name(evaluation->options.split),
            (long long)all->outcome.n_perturbations, (long long)evaluation->n_groups - 1,
            (long long)all->n_observations);
    print_selection(evaluation, out);
    fputc('\n', out);
    print_group(evaluation, all, out);
    print_above(evaluation, all, out);
    print_scaled(evaluation, all, out);
    if (evaluation->has_model)
        print_differences(evaluation, out);
    print_spread(evaluation, out);
    if (evaluation->n_groups > 2)
        print_contexts(evaluation, out);
    print_strata(evaluation, out);
    print_epistasis(evaluation, out);
    print_transfer(evaluation, out);
}
