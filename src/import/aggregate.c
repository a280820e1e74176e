/* aggregate.c -- rows stream through and are summed up by experiment.
 *
 * A group (an experiment to be) gets its sums at its first row and is written at its last one. A
 * group that finds no room waits for the next pass over the files; one that never fits is read a
 * part of its panel at a time. Either way its rows are added in the order of the files, in double
 * precision, so the memory budget changes no bit. */
#include "aggregate.h"

#include "remarks.h"
#include "repeats.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sums of a group's slots: a slot is a fold where every replicate is one row and means are asked
 * for, else a replicate. Observed values of a readout: base[slot] + count[slot][readout]. */
struct sums {
    int64_t remaining; /* rows still to come */
    int64_t *base; /* (n_slots) */
    double *sum; /* (n_slots, width) */
    int32_t *count; /* (n_slots, width) */
};

static struct sums deferred, done; /* marks in place of sums: waits for the next pass; written */

struct run {
    struct tess_plan *plan;
    struct tess_sink *sink;
    struct tess_problems *problems;
    struct tess_error *error;
    struct sums **state; /* (n_groups) NULL: not seen in this pass */
    size_t used, budget; /* bytes */
    int64_t n_waiting;
    int64_t only; /* the one group read by parts of its panel, or -1 */
    int64_t begin, end; /* that part of the panel */
    int64_t longest; /* panel */
    struct tess_value_facts facts;
    struct tess_repeats repeats;
    float *value, *folds; /* (longest), (8, longest): the experiment in hand */
};

static int64_t n_slots(const struct run *run, const struct tess_plan_group *group)
{
    int64_t folds = tess_plan_folds(group);

    if (run->plan->options->aggregate != TESS_AGGREGATE_MEDIAN &&
        group->n_rows == group->n_replicates)
        return folds ? folds : 1;
    return group->n_replicates;
}

/* 256: what the allocator may add to four blocks, roughly. */
static size_t bytes_of(int64_t slots, int64_t width)
{
    return (size_t)slots * ((size_t)width * (sizeof(double) + sizeof(int32_t)) + sizeof(int64_t)) +
           sizeof(struct sums) + 256;
}

static int64_t width_of(const struct run *run, const struct tess_plan_group *group)
{
    return run->only >= 0 ? run->end - run->begin : run->plan->panel[group->panel].n;
}

/* A part of one panel was chosen to fit, and must be taken whatever it counts. */
static int fits(const struct run *run, const struct tess_plan_group *group)
{
    return run->used + bytes_of(n_slots(run, group), width_of(run, group)) <= run->budget ||
           run->only >= 0;
}

static struct sums *sums_new(struct run *run, const struct tess_plan_group *group)
{
    int64_t slots = n_slots(run, group), width = width_of(run, group);
    struct sums *sums = TESS_NEW(struct sums, 1);

    sums->remaining = group->n_rows;
    sums->base = TESS_NEW(int64_t, slots);
    sums->sum = tess_alloc_large((size_t)slots, (size_t)width * sizeof(double),
                                 "an experiment's sums", run->error);
    sums->count = tess_alloc_large((size_t)slots, (size_t)width * sizeof(int32_t),
                                   "an experiment's counts", run->error);
    run->used += bytes_of(slots, width);
    return sums;
}

static void sums_free(struct run *run, const struct tess_plan_group *group, struct sums *sums)
{
    run->used -= bytes_of(n_slots(run, group), width_of(run, group));
    tess_free(sums->base);
    tess_free(sums->sum);
    tess_free(sums->count);
    tess_free(sums);
}

/* Will this pass take the group's rows? Decides it at the group's first row. */
static int takes(struct run *run, int64_t g)
{
    const struct tess_plan_group *group = g < 0 ? NULL : &run->plan->group[g];

    if (g < 0 || group->experiment < 0 || run->state[g] == &done || run->state[g] == &deferred ||
        (run->only >= 0 && g != run->only))
        return 0;
    if (!run->state[g] && !fits(run, group)) {
        run->state[g] = &deferred;
        return 0;
    }
    return 1;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Mean or median of the n values; sorts them. */
static double reduce(const struct run *run, double *x, int64_t n)
{
    double sum = 0;

    if (n == 0)
        return NAN;
    if (run->plan->options->aggregate == TESS_AGGREGATE_MEDIAN) {
        qsort(x, (size_t)n, sizeof *x, compare_doubles);
        return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
    }
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

static float clipped(const struct run *run, double x)
{
    double clip = run->plan->options->clip;

    if (clip > 0 && x > clip)
        x = clip;
    if (clip > 0 && x < -clip)
        x = -clip;
    return (float)x;
}

/* Slots are folds (or the only replicate): their rows count alike, so that the mean over replicates
 * is all sums over all counts. Folds are added in their order: the bits are those of any budget. */
static void reduce_folds(struct run *run, const struct tess_plan_group *group,
                         const struct sums *sums)
{
    int64_t width = width_of(run, group), slots = n_slots(run, group);
    int64_t panel = run->plan->panel[group->panel].n;

    for (int64_t j = 0; j < width; j++) {
        double sum = 0;
        int64_t observed = 0;

        for (int64_t s = 0; s < slots; s++) {
            int64_t n = sums->base[s] + sums->count[s * width + j];
            double part = sums->sum[s * width + j];

            sum += part;
            observed += n;
            run->folds[s * panel + run->begin + j] = n ? clipped(run, part / (double)n) : NAN;
        }
        run->value[run->begin + j] = observed ? clipped(run, sum / (double)observed) : NAN;
    }
}

/* Of n values those that were measured, and of a fold if it is not negative, reduced to one. */
static double reduce_fold(const struct run *run, int64_t n, const double *x, const int8_t *fold,
                          int64_t number, double *part)
{
    int64_t n_part = 0;

    for (int64_t s = 0; s < n; s++)
        if (!isnan(x[s]) && (number < 0 || fold[s] == number))
            part[n_part++] = x[s];
    return reduce(run, part, n_part);
}

/* Slots are replicates, each the mean of its rows; the median, if asked for, is over replicates. */
static void reduce_replicates(struct run *run, const struct tess_plan_group *group,
                              const struct sums *sums)
{
    int64_t width = width_of(run, group), slots = group->n_replicates;
    int64_t panel = run->plan->panel[group->panel].n, n_folds = tess_plan_folds(group);
    const int8_t *fold = run->plan->fold + group->first_unit;
    double *x = TESS_NEW(double, slots), *part = TESS_NEW(double, slots);

    for (int64_t j = 0; j < width; j++) {
        for (int64_t s = 0; s < slots; s++) {
            int64_t observed = sums->base[s] + sums->count[s * width + j];

            x[s] = observed ? sums->sum[s * width + j] / (double)observed : NAN;
        }
        for (int64_t f = 0; f < n_folds; f++)
            run->folds[f * panel + run->begin + j] =
                clipped(run, reduce_fold(run, slots, x, fold, f, part));
        run->value[run->begin + j] = clipped(run, reduce_fold(run, slots, x, fold, -1, part));
    }
    tess_free(x);
    tess_free(part);
}

static int put(struct run *run, const struct tess_plan_group *group)
{
    struct tess_sink *sink = run->sink;
    const struct tess_index *index = sink->index;
    int64_t panel = run->plan->panel[group->panel].n, e = group->experiment;
    int64_t fold = index->fold_first[e], n_folds = tess_plan_folds(group), observed = 0;

    for (int64_t j = 0; j < panel; j++)
        observed += !isnan(run->value[j]);
    index->n_observed[e] = observed;
    if (sink->value) {
        memcpy(sink->value + index->value_first[e], run->value, (size_t)panel * sizeof(float));
        memcpy(sink->fold + index->fold_value_first[fold], run->folds,
               (size_t)(panel * n_folds) * sizeof(float));
        return TESS_OK;
    }
    if (sink->store &&
        tess_store_write_values(sink->store, e, 1, run->value, run->error) == TESS_OK && n_folds)
        tess_store_write_folds(sink->store, fold, n_folds, run->folds, run->error);
    return run->error->code;
}

/* The group's last row is in: its values go out, its sums make room. */
static void finish_group(struct run *run, int64_t g)
{
    const struct tess_plan_group *group = &run->plan->group[g];
    struct sums *sums = run->state[g];

    if (run->plan->options->aggregate != TESS_AGGREGATE_MEDIAN &&
        group->n_rows == group->n_replicates)
        reduce_folds(run, group, sums);
    else
        reduce_replicates(run, group, sums);
    sums_free(run, group, sums);
    run->state[g] = NULL;
    if (run->only < 0 || run->end == run->plan->panel[group->panel].n) {
        run->state[g] = &done;
        run->n_waiting--;
        put(run, group);
    }
}

/* One row of a block: n values, of readout index[k], or of readout k. */
struct row {
    const struct tess_plan_file *file;
    const struct tess_plan_panel *panel;
    int64_t number, n;
    const float *value;
    const int32_t *index;
};

static const char *readout_name(const struct row *row, int64_t k)
{
    return row->file->source.readout.item[row->index ? row->index[k] : k];
}

/* What makes the row's total as asked for; 1 for a row of zeroes. */
static double scale_of(const struct run *run, const struct row *row)
{
    const char *advice = row->file->source.advice;
    double total = 0;

    if (!(run->plan->options->normalize_total > 0))
        return 1;
    for (int64_t k = 0; k < row->n; k++) {
        total += isnan(row->value[k]) ? 0 : row->value[k];
        if (row->value[k] < 0 && run->begin == 0)
            tess_problems_add(run->problems, row->file->source.path,
                              tess_source_place(&row->file->source, row->number),
                              readout_name(row, k), "%g is no count (--normalize-total)%s%s",
                              (double)row->value[k], advice ? "; " : "", advice ? advice : "");
    }
    return total > 0 ? run->plan->options->normalize_total / total : 1;
}

/* Where value k stands in the panel, or -1. */
static int64_t position_of(const struct row *row, int64_t k)
{
    int64_t j = row->index ? row->index[k] : k;

    if (row->file->position)
        return row->file->position[j];
    return tess_set_place(row->panel->n, row->panel->readout, row->file->readout[j]);
}

/* Adds the row to a slot. `implied`: what is not listed was measured as zero, or all is listed.
 * Then base[slot] has counted the row for every readout, and count[] only takes back what is
 * missing: a sparse row costs what it lists. log1p(0) is 0, so that implied zeros add nothing
 * either way. */
static void add_values(struct run *run, const struct row *row, int implied, double *sum,
                       int32_t *count)
{
    double scale = scale_of(run, row);
    const char *advice = row->file->source.advice;
    int log = run->plan->options->log1p;

    for (int64_t k = 0; k < row->n; k++) {
        int64_t at = position_of(row, k);
        double x = row->value[k] * scale;

        if (at < run->begin || (run->only >= 0 && at >= run->end))
            continue;
        if (log && x <= -1) {
            tess_problems_add(run->problems, row->file->source.path,
                              tess_source_place(&row->file->source, row->number),
                              readout_name(row, k), "%g has no log1p%s%s", x, advice ? "; " : "",
                              advice ? advice : "");
            x = NAN;
        }
        at -= run->begin;
        if (isnan(x)) {
            count[at] -= implied;
            continue;
        }
        count[at] += !implied;
        sum[at] += log ? log1p(x) : x;
    }
}

/* Looks at a row for the remarks; once, though it may be read in parts. */
static void look_at(struct run *run, const struct row *row, int implied)
{
    struct tess_row_values values = {row->n, row->value, row->index, row->file->readout};

    if (run->begin > 0)
        return;
    tess_value_facts_add(&run->facts, row->value, row->n,
                         implied ? row->file->source.n_readouts - row->n : 0);
    if (run->plan->n_files > 1)
        tess_repeats_add(&run->repeats, row->file - run->plan->file,
                         &run->plan->group[row->file->group[row->number]], &values);
}

/* Sums for which there is no memory stay in state[], for run_free to release. With slots for folds
 * the replicate's slot is that of its fold. */
static void add_row(struct run *run, const struct row *row, int implied)
{
    int32_t g = row->file->group[row->number];
    const struct tess_plan_group *group = &run->plan->group[g];
    int64_t slot = row->file->slot[row->number], width = width_of(run, group);
    struct sums *sums = run->state[g];

    if (!sums)
        sums = run->state[g] = sums_new(run, group);
    if (run->error->code != TESS_OK)
        return;
    if (n_slots(run, group) < group->n_replicates)
        slot = run->plan->fold[group->first_unit + slot];
    look_at(run, row, implied);
    sums->base[slot] += implied;
    add_values(run, row, implied, sums->sum + slot * width, sums->count + slot * width);
    if (--sums->remaining == 0)
        finish_group(run, g);
}

static void add_block(struct run *run, const struct tess_plan_file *file,
                      const struct tess_block *block)
{
    int implied = block->dense || !isnan(block->fill);

    for (int64_t i = 0; i < block->n && run->error->code == TESS_OK; i++) {
        struct row row = {.file = file, .number = block->first + i};
        int32_t g = file->group[row.number];

        if (!takes(run, g))
            continue;
        row.panel = &run->plan->panel[run->plan->group[g].panel];
        if (block->dense) {
            row.n = file->source.n_readouts;
            row.value = block->dense + i * row.n;
        } else {
            row.n = block->indptr[i + 1] - block->indptr[i];
            row.value = block->data + block->indptr[i];
            row.index = block->index + block->indptr[i];
        }
        /* a ragged file's dense row lacks what its panel has and the file has not */
        add_row(run, &row, implied && file->position != NULL);
    }
}

/* Reads a file's blocks, those that nobody waits for left out once all were seen. */
static void read_file(struct run *run, struct tess_plan_file *file, struct tess_block *block,
                      struct tess_progress *progress, int64_t before)
{
    struct tess_source *source = &file->source;
    struct tess_problems known = {.limit = 1}; /* reported when they were read first */

    for (int64_t i = 0, n; i < source->n_rows && run->error->code == TESS_OK; i += n) {
        int wanted = !file->surveyed;

        n = source->n_rows - i < source->rows_at_once ? source->n_rows - i : source->rows_at_once;
        for (int64_t k = i; k < i + n && !wanted; k++)
            wanted = takes(run, file->group[k]);
        if (!wanted)
            continue;
        if (tess_source_read_rows(source, i, n, block, file->surveyed ? &known : run->problems,
                                  run->error) == TESS_OK)
            add_block(run, file, block);
        tess_progress_show(progress, before + i + n);
    }
    file->surveyed = 1;
    tess_problems_release(&known);
}

static void pass(struct run *run, struct tess_import_result *result)
{
    struct tess_progress progress;
    int64_t before = 0;

    result->n_passes++;
    tess_progress_init(&progress, "reading values", "rows", run->plan->n_rows);
    for (int64_t f = 0; f < run->plan->n_files && run->error->code == TESS_OK; f++) {
        struct tess_block block = {0};

        read_file(run, &run->plan->file[f], &block, &progress, before);
        before += run->plan->file[f].source.n_rows;
        tess_block_release(&block);
    }
    for (int64_t g = 0; g < run->plan->n_groups; g++)
        if (run->state[g] == &deferred)
            run->state[g] = NULL;
    tess_progress_release(&progress);
}

/* Groups that never fit, each by parts of its panel. */
static void run_large(struct run *run, struct tess_import_result *result)
{
    for (int64_t g = 0; g < run->plan->n_groups && run->error->code == TESS_OK; g++) {
        const struct tess_plan_group *group = &run->plan->group[g];
        int64_t panel = run->plan->panel[group->panel].n, slots = n_slots(run, group), width;

        if (group->experiment < 0 || run->state[g] == &done)
            continue;
        width = (int64_t)(run->budget / ((size_t)slots * (sizeof(double) + sizeof(int32_t))));
        width = width < 1 ? 1 : width;
        run->only = g;
        for (run->begin = 0; run->begin < panel && run->error->code == TESS_OK;
             run->begin = run->end) {
            run->end = panel - run->begin < width ? panel : run->begin + width;
            pass(run, result);
        }
    }
    run->only = -1;
    run->begin = 0;
}

static void run_free(struct run *run)
{
    for (int64_t g = 0; g < run->plan->n_groups; g++)
        if (run->state[g] && run->state[g] != &done && run->state[g] != &deferred) {
            tess_free(run->state[g]->base);
            tess_free(run->state[g]->sum);
            tess_free(run->state[g]->count);
            tess_free(run->state[g]);
        }
    tess_repeats_release(&run->repeats);
    tess_free(run->state);
    tess_free(run->value);
    tess_free(run->folds);
}

/* Passes go on until only groups wait that do not even fit alone; each of the others fits when it
 * is the first of a pass, so that every pass finishes one. After a problem the store will not be
 * written, and one pass has seen them all. */
int tess_aggregate_run(struct tess_plan *plan, struct tess_sink *sink,
                       struct tess_problems *problems, struct tess_import_result *result,
                       struct tess_error *error)
{
    struct run run = {plan,      sink, problems, error, .budget = (size_t)plan->options->memory,
                      .only = -1};
    int64_t n_large = 0;

    for (size_t i = 0; i < plan->n_panels; i++)
        run.longest = plan->panel[i].n > run.longest ? plan->panel[i].n : run.longest;
    run.state = TESS_NEW(struct sums *, plan->n_groups);
    run.value = TESS_NEW(float, run.longest);
    run.folds = TESS_NEW(float, TESS_STORE_FOLDS *run.longest);
    for (int64_t g = 0; g < plan->n_groups; g++) {
        run.n_waiting += plan->group[g].experiment >= 0;
        n_large += plan->group[g].experiment >= 0 && !fits(&run, &plan->group[g]);
    }
    do
        pass(&run, result);
    while (run.n_waiting > n_large && error->code == TESS_OK && (!sink->store || problems->n == 0));
    if (n_large && error->code == TESS_OK && (!sink->store || problems->n == 0))
        run_large(&run, result);
    if (error->code == TESS_OK) {
        tess_repeats_remark(&run.repeats, plan, &result->remark);
        tess_remarks_find(plan, sink->index, &run.facts, &result->remark);
    }
    run_free(&run);
    return error->code;
}
