/* simulate_design.c -- symbols, combinations, panels, measured pairs and the split of a simulation.
 */
#include "simulate_design.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/sets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ORDER    8
#define HELD_OUT     0.15 /* for validation, and again for the test: the published protocol */
#define PANEL_SHARE  0.5 /* of the readouts that a context with a smaller panel measures */
#define MAX_ATTEMPTS 200 /* draws for each combination wanted */

/* "P001" … in as many digits as the last needs, so that byte order is the order of the numbers. */
static void name_symbols(struct tess_vocab *vocab, char letter, int64_t n, const int64_t *number,
                         int64_t largest, const char *extra)
{
    char **name = TESS_NEW(char *, n + 1);
    int digits = snprintf(NULL, 0, "%lld", (long long)largest);
    int64_t all = n + (extra != NULL);

    for (int64_t i = 0; i < n; i++)
        name[i] = tess_format("%c%0*lld", letter, digits, (long long)(number ? number[i] : i) + 1);
    if (extra) /* lower case: after all the others */
        name[n] = tess_strdup(extra);
    tess_vocab_init(vocab, all, (const char *const *)name, NULL);
    for (int64_t i = 0; i < all; i++)
        tess_free(name[i]);
    tess_free(name);
}

/* "DRUG:001" … and "KO:001" …: compounds come first, and control last. */
static void name_mechanisms(const struct tess_simulate *s, struct tess_vocab *vocab,
                            const char *control)
{
    int64_t n = s->n_perturbations, compounds = s->n_mechanisms;
    char **name = TESS_NEW(char *, n + 1);
    int digits = snprintf(NULL, 0, "%lld", (long long)n);

    for (int64_t i = 0; i < n; i++)
        name[i] = tess_format("%s:%0*lld", i < compounds ? "DRUG" : "KO", digits,
                              (long long)(i < compounds ? i : i - compounds) + 1);
    if (control)
        name[n] = tess_strdup(control);
    tess_vocab_init(vocab, n + (control != NULL), (const char *const *)name, NULL);
    for (int64_t i = 0; i <= n; i++)
        tess_free(name[i]);
    tess_free(name);
}

static void name_all(struct tess_design *design)
{
    const struct tess_simulate *s = design->simulate;
    const char *control = s->n_controls > 0 ? TESS_CONTROL : NULL;

    name_symbols(&design->index.readout, s->network ? 'G' : 'R', s->n_readouts, NULL, s->n_readouts,
                 NULL);
    name_symbols(&design->index.context, 'C', s->n_contexts, NULL, s->n_contexts, NULL);
    if (s->network)
        name_symbols(&design->index.perturbation, 'G', s->n_perturbations,
                     design->truth.network.target, s->n_readouts, control);
    else if (s->n_mechanisms > 0)
        name_mechanisms(s, &design->index.perturbation, control);
    else
        name_symbols(&design->index.perturbation, 'P', s->n_perturbations, NULL, s->n_perturbations,
                     control);
}

/* A set of n distinct perturbations from draw number `at` on: drawn again until they are, for which
 * the caller leaves 2^20 numbers. */
static void draw_set(struct tess_random stream, uint64_t at, int64_t n_perturbations, int n,
                     int64_t *member)
{
    for (int drawn = 0; drawn < n;) {
        member[drawn++] = tess_random_below(stream, at++, n_perturbations);
        drawn = (int)tess_set_tidy(drawn, member);
    }
}

/* Distinct random sets of 2 … order perturbations. */
static int draw_sets(const struct tess_simulate *s, struct tess_sets *sets,
                     struct tess_error *error)
{
    struct tess_random stream = part_stream(s, PART_COMBINATION);
    int64_t member[MAX_ORDER];

    for (int64_t i = 0; sets->n < s->n_combinations && i < MAX_ATTEMPTS * s->n_combinations; i++) {
        int size = 2 + (int)(sets->n % (s->order - 1));

        draw_set(stream, (uint64_t)i << 20, s->n_perturbations, size, member);
        tess_sets_number(sets, size, member);
    }
    if (sets->n < s->n_combinations)
        tess_error_set(error, TESS_EUSAGE,
                       "--combinations %lld: %lld perturbations have not so many of --order %lld: "
                       "ask for fewer",
                       (long long)s->n_combinations, (long long)s->n_perturbations,
                       (long long)s->order);
    return error->code;
}

/* Every perturbation alone, the control among them, and the random sets. */
static int make_combinations(struct tess_design *design, struct tess_error *error)
{
    struct tess_index *index = &design->index;
    struct tess_sets sets = {0};

    if (draw_sets(design->simulate, &sets, error) != TESS_OK) {
        tess_sets_release(&sets);
        return error->code;
    }
    for (int64_t p = 0; p < index->perturbation.n; p++)
        tess_sets_add(&sets, 1, &p);
    tess_sets_sort(&sets, NULL);
    index->n_combinations = sets.n;
    index->combination_first = sets.first;
    index->combination_member = sets.member;
    return error->code;
}

/* The readouts that a context measures; all of them, or a random part (at least one): how many. */
static int64_t choose_panel(const struct tess_simulate *s, int64_t context, int partial,
                            int64_t *readout)
{
    struct tess_random stream = part_stream(s, PART_PANEL);
    uint64_t at = (uint64_t)(context + 1) * (uint64_t)s->n_readouts;
    int64_t forced = tess_random_below(stream, (uint64_t)context, s->n_readouts), n = 0;

    for (int64_t r = 0; r < s->n_readouts; r++)
        if (!partial || r == forced || tess_random_uniform(stream, at + (uint64_t)r) < PANEL_SHARE)
            readout[n++] = r;
    return n;
}

/* panel_of (n_contexts) out. */
static void make_panels(struct tess_design *design, int64_t *panel_of)
{
    const struct tess_simulate *s = design->simulate;
    struct tess_index *index = &design->index;
    int64_t n_partial = (int64_t)floor(s->panel_fraction * (double)s->n_contexts + 0.5);
    int64_t *readout = TESS_NEW(int64_t, s->n_readouts);
    struct tess_sets panels = {0};

    for (int64_t c = 0; c < s->n_contexts; c++)
        tess_sets_add(&panels, choose_panel(s, c, c < n_partial, readout), readout);
    tess_sets_sort(&panels, panel_of);
    index->n_panels = panels.n;
    index->panel_first = panels.first;
    index->panel_readout = panels.member;
    tess_free(readout);
}

/* Numbers the measured pairs (design->experiment); controls always, everything else at least once.
 * The control alone is the last combination: its name sorts behind all others. */
static void choose_measured(struct tess_design *design)
{
    const struct tess_simulate *s = design->simulate;
    struct tess_index *index = &design->index;
    struct tess_random stream = part_stream(s, PART_MEASURED);
    int64_t n = index->n_combinations, n_contexts = s->n_contexts;

    design->experiment = TESS_NEW(int64_t, n_contexts * n);
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = (uint64_t)(i * (n_contexts + 1));
        int64_t forced = tess_random_below(stream, at + (uint64_t)n_contexts, n_contexts);
        int seen = 0, control = i == n - 1 && s->n_controls > 0;

        for (int64_t c = 0; c < n_contexts; c++) {
            int here = control || tess_random_uniform(stream, at + (uint64_t)c) >= s->sparsity;

            design->experiment[c * n + i] = here ? 0 : -1;
            seen |= here;
        }
        if (!seen)
            design->experiment[forced * n + i] = 0;
    }
    for (int64_t k = 0; k < n_contexts * n; k++)
        if (design->experiment[k] == 0)
            design->experiment[k] = index->n_experiments++;
}

static int64_t replicates_of(const struct tess_design *design, int64_t combination)
{
    const struct tess_simulate *s = design->simulate;
    int control = tess_index_is_control(&design->index, combination);

    return control && s->n_cells == 0 ? s->n_controls : s->n_replicates;
}

static int64_t rows_of(const struct tess_design *design, int64_t combination)
{
    const struct tess_simulate *s = design->simulate;

    if (s->n_cells == 0)
        return replicates_of(design, combination);
    return s->n_cells * (tess_index_is_control(&design->index, combination) ? s->n_controls : 1);
}

static void make_experiments(struct tess_design *design, const int64_t *panel_of)
{
    struct tess_index *index = &design->index;
    int64_t n = index->n_combinations, n_experiments = index->n_experiments, at = 0;

    index->combination = TESS_NEW(int64_t, n_experiments);
    index->context_of = TESS_NEW(int64_t, n_experiments);
    index->panel = TESS_NEW(int64_t, n_experiments);
    index->split = TESS_NEW(int8_t, n_experiments);
    index->n_replicates = TESS_NEW(int64_t, n_experiments);
    index->n_observed = TESS_NEW(int64_t, n_experiments);
    index->fold_first = TESS_NEW(int64_t, n_experiments + 1);
    index->fold_replicates = TESS_NEW(int64_t, n_experiments * TESS_STORE_FOLDS);
    design->row_first = TESS_NEW(int64_t, n_experiments + 1);
    for (int64_t k = 0; k < index->context.n * n; k++) {
        int64_t replicates = replicates_of(design, k % n), folds;

        if (design->experiment[k] < 0)
            continue;
        folds = replicates < 2 ? 0 : replicates < TESS_STORE_FOLDS ? replicates : TESS_STORE_FOLDS;
        index->combination[at] = k % n;
        index->context_of[at] = k / n;
        index->panel[at] = panel_of[k / n];
        index->n_replicates[at] = replicates;
        index->fold_first[at + 1] = index->fold_first[at] + folds;
        for (int64_t f = 0; f < folds; f++) /* replicate i lies in fold i mod folds */
            index->fold_replicates[index->fold_first[at] + f] =
                (replicates - f + folds - 1) / folds;
        design->row_first[at + 1] = design->row_first[at] + rows_of(design, k % n);
        at++;
    }
}

/* Contexts (flags) named by --split-target; by default the last one. */
static int find_targets(const struct tess_design *design, char *target, struct tess_error *error)
{
    const struct tess_strings *wanted = &design->simulate->split_target;
    const struct tess_vocab *context = &design->index.context;
    struct tess_strings unknown = {0};

    if (wanted->n == 0)
        target[context->n - 1] = 1;
    for (size_t i = 0; i < wanted->n; i++) {
        int64_t found = tess_vocab_find(context, wanted->item[i]);

        if (found >= 0)
            target[found] = 1;
        else if (strcmp(wanted->item[i], "none") != 0)
            tess_strings_add(&unknown, wanted->item[i]);
    }
    if (unknown.n > 0) {
        tess_vocab_refuse(context, &unknown, "context", "--split-target: the simulation", error);
        error->code = TESS_EUSAGE;
    }
    tess_strings_release(&unknown);
    return error->code;
}

/* 15 % + 15 % of what a target context shares with contexts that are none. */
static int64_t hold_out(struct tess_design *design, const char *target, int64_t context)
{
    struct tess_index *index = &design->index;
    int64_t n = index->n_combinations, n_shared = 0, take;
    int64_t *shared = TESS_NEW(int64_t, n);
    uint64_t place = (uint64_t)PART_SPLIT | (uint64_t)(context + 1) << 8;

    for (int64_t i = 0; i < n; i++) {
        int elsewhere = 0;

        for (int64_t c = 0; c < index->context.n; c++)
            elsewhere |= !target[c] && design->experiment[c * n + i] >= 0;
        if (elsewhere && design->experiment[context * n + i] >= 0 &&
            !tess_index_is_control(index, i))
            shared[n_shared++] = design->experiment[context * n + i];
    }
    tess_random_permute(
        tess_random_stream((uint64_t)design->simulate->seed, TESS_RANDOM_SIMULATE, place), n_shared,
        shared);
    take = (int64_t)floor(HELD_OUT * (double)n_shared + 0.5);
    for (int64_t i = 0; i < 2 * take; i++)
        index->split[shared[i]] = i < take ? TESS_VAL : TESS_TEST;
    tess_free(shared);
    return 2 * take;
}

static int make_split(struct tess_design *design, struct tess_error *error)
{
    struct tess_strings names = {0};
    char *target = TESS_NEW(char, design->index.context.n), *list;

    if (find_targets(design, target, error) == TESS_OK)
        for (int64_t c = 0; c < design->index.context.n; c++)
            if (target[c] && hold_out(design, target, c) > 0)
                tess_strings_add(&names, design->index.context.symbol[c]);
    list = tess_strings_join(&names, ", ", 20);
    design->split_text =
        names.n ? tess_format("simulated: 15 %% + 15 %% of the shared perturbations of %s", list)
                : tess_strdup("simulated: nothing held out");
    tess_free(list);
    tess_free(target);
    tess_strings_release(&names);
    return error->code;
}

int tess_design_init(struct tess_design *design, const struct tess_simulate *simulate,
                     struct tess_error *error)
{
    int64_t *panel_of = TESS_NEW(int64_t, simulate->n_contexts);

    *design = (struct tess_design){.simulate = simulate};
    tess_truth_init(&design->truth, simulate);
    name_all(design);
    if (make_combinations(design, error) == TESS_OK) {
        make_panels(design, panel_of);
        design->index.control = simulate->n_controls ? simulate->n_perturbations : -1;
        choose_measured(design);
        make_experiments(design, panel_of);
        make_split(design, error);
        tess_index_finish(&design->index);
    }
    tess_free(panel_of);
    if (error->code != TESS_OK)
        tess_design_release(design);
    return error->code;
}

void tess_design_release(struct tess_design *design)
{
    tess_index_release(&design->index);
    tess_truth_release(&design->truth);
    tess_free(design->row_first);
    tess_free(design->experiment);
    tess_free(design->split_text);
    *design = (struct tess_design){0};
}

static void make_row(const struct tess_design *design, int64_t combination, int64_t context,
                     const double *noise, double *out)
{
    const struct tess_index *index = &design->index;
    int64_t first = index->combination_first[combination];
    int n = (int)(index->combination_first[combination + 1] - first);

    if (tess_index_is_control(index, combination))
        n = 0;
    tess_truth_row(&design->truth, n, index->combination_member + first, context, noise, out);
}

void tess_design_truth(const struct tess_design *design, int64_t combination, int64_t context,
                       double *out)
{
    make_row(design, combination, context, NULL, out);
}

void tess_design_cell_state(const struct tess_design *design, int64_t experiment,
                            const double *noise, double *out)
{
    make_row(design, design->index.combination[experiment], design->index.context_of[experiment],
             noise, out);
}

int64_t tess_design_replicate_of(const struct tess_design *design, int64_t experiment, int64_t row)
{
    int64_t n_rows = design->row_first[experiment + 1] - design->row_first[experiment];

    return row * design->index.n_replicates[experiment] / n_rows;
}

/* Random numbers go by context, combination and replicate, not by the experiment's number: a value
 * stays the same when --sparsity measures fewer of them. What is missing is so in all replicates.
 */
static void make_replicate(const struct tess_design *design, int64_t experiment, int64_t replicate,
                           const double *truth, double *out)
{
    const struct tess_simulate *s = design->simulate;
    const struct tess_index *index = &design->index;
    struct tess_random noise = part_stream(s, PART_NOISE), missing = part_stream(s, PART_MISSING);
    int64_t most = s->n_replicates > s->n_controls ? s->n_replicates : s->n_controls;
    uint64_t place = (uint64_t)(index->context_of[experiment] * index->n_combinations +
                                index->combination[experiment]);
    uint64_t n = (uint64_t)s->n_readouts, row = (place * (uint64_t)most + (uint64_t)replicate) * n;
    int64_t panel = index->panel[experiment], at = index->panel_first[panel];

    for (uint64_t r = 0; r < n; r++) {
        int here = at < index->panel_first[panel + 1] && index->panel_readout[at] == (int64_t)r;

        at += here;
        if (!here || (s->missing > 0 && tess_random_uniform(missing, place * n + r) < s->missing))
            out[r] = NAN;
        else
            out[r] = truth[r] + s->noise * tess_random_normal(noise, row + r);
    }
}

void tess_cursor_init(struct cursor *cursor, const struct tess_design *design)
{
    *cursor = (struct cursor){.design = design, .experiment = -1, .replicate = -1};
    cursor->truth = TESS_NEW(double, design->simulate->n_readouts);
    cursor->value = TESS_NEW(double, design->simulate->n_readouts);
    cursor->cell = TESS_NEW(double, design->simulate->n_readouts);
}

void tess_cursor_release(struct cursor *cursor)
{
    tess_free(cursor->truth);
    tess_free(cursor->value);
    tess_free(cursor->cell);
    *cursor = (struct cursor){0};
}

void tess_cursor_replicate(struct cursor *cursor, int64_t experiment, int64_t replicate)
{
    const struct tess_index *index = &cursor->design->index;

    if (cursor->experiment == experiment && cursor->replicate == replicate)
        return;
    if (cursor->experiment != experiment)
        tess_design_truth(cursor->design, index->combination[experiment],
                          index->context_of[experiment], cursor->truth);
    make_replicate(cursor->design, experiment, replicate, cursor->truth, cursor->value);
    cursor->experiment = experiment;
    cursor->replicate = replicate;
}

void tess_cursor_row(struct cursor *cursor, int64_t row)
{
    const int64_t *first = cursor->design->row_first;
    int64_t low = 0, high = cursor->design->index.n_experiments;

    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;

        if (first[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    tess_cursor_replicate(cursor, low,
                          tess_design_replicate_of(cursor->design, low, row - first[low]));
}
