/* evaluate_print.c -- the scores for people. */
#include "evaluate.h"

#include "tessera/model.h"
#include "tessera/alloc.h"

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

static void print_group(const struct tess_evaluation *evaluation, const struct tess_group *group,
                        FILE *out)
{
    char *name = first_name(evaluation);
    int first = evaluation->has_model;
    int width = first && strlen(name) > NAME_WIDTH ? (int)strlen(name) : NAME_WIDTH;

    fprintf(out, "%-*s", width, "");
    for (size_t i = 0; i < N_COLUMNS; i++)
        fprintf(out, " %11s", columns[i].title);
    fputc('\n', out);
    if (first)
        print_method(out, width, name, group->outcome.own);
    tess_free(name);
    for (int b = 0; b < TESS_BASELINES; b++)
        if (tess_evaluate_excuse(evaluation, group, b))
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

/* rmse, and the difference to each baseline: does the interval leave out zero? */
static void print_differences(const struct tess_evaluation *evaluation, FILE *out)
{
    const struct tess_group *all = &evaluation->group[0];

    fprintf(out, "\n%-20s %11s %25s %9s %25s\n", "against", "rmse diff.", "95 % interval", "skill",
            "r ctxmean diff.");
    for (int b = 0; b < TESS_BASELINES; b++) {
        const struct tess_estimate *difference = all->outcome.difference + (1 + b) * TESS_METRICS;
        const struct tess_estimate *r = &difference[TESS_CHANGE + TESS_MEASURES];

        if (tess_evaluate_excuse(evaluation, all, b))
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

static void print_contexts(const struct tess_evaluation *evaluation, FILE *out)
{
    static const int shown[] = {TESS_READOUT_MEAN, TESS_ADDITIVE, TESS_NEAREST_CONTEXT,
                                TESS_LINEAR};
    int first = evaluation->has_model;
    int64_t n = evaluation->n_groups - 1;

    fprintf(out, "\n%-28s %11s %11s", "rmse by context", "experiments", first ? "model" : "");
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        fprintf(out, " %15s", tess_baseline_name(shown[i]));
    fprintf(out, " %11s\n", "ceiling");
    for (int64_t g = 1; g <= n && g <= CONTEXTS_SHOWN; g++) {
        const struct tess_group *group = &evaluation->group[g];

        fprintf(out, "%-28.28s %11lld", evaluation->store->index.context.symbol[group->context],
                (long long)group->n);
        if (first)
            print_number(out, group->outcome.own->value);
        else
            fprintf(out, " %11s", "");
        for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
            print_wide(out, group->outcome.own[(first + shown[i]) * TESS_METRICS].value);
        print_number(out, tess_ceiling_value(&group->ceiling, TESS_RMSE));
        fputc('\n', out);
    }
    if (n > CONTEXTS_SHOWN)
        fprintf(out, "… and %lld more contexts (all are in the JSON)\n",
                (long long)(n - CONTEXTS_SHOWN));
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

void tess_evaluate_print(const struct tess_evaluation *evaluation, FILE *out)
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
    if (evaluation->has_model)
        print_differences(evaluation, out);
    print_spread(evaluation, out);
    if (evaluation->n_groups > 2)
        print_contexts(evaluation, out);
}
