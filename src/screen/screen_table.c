/* screen_table.c -- the ranked table. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/sheet.h"
#include "tessera/target.h"

#include <math.h>
#include <stdlib.h>

static const char *const column[] = {
    "rank",     "perturbation", "target",  "change",         "std", "z", "agreement",
    "measured", "measured_in",  "trained", TESS_KNOWN_COLUMN};
#define COLUMNS (sizeof column / sizeof column[0]) /* the last where there is more than data */

struct ranked {
    double key; /* smallest first */
    int64_t set;
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int less = (x->key > y->key) - (x->key < y->key);

    return less ? less : (x->set > y->set) - (x->set < y->set);
}

int64_t *tess_screening_order(const struct screening *work)
{
    int64_t n = work->perturbation.n, *order = TESS_NEW(int64_t, n);
    struct ranked *ranked = TESS_NEW(struct ranked, n);

    for (int64_t i = 0; i < n; i++) {
        double change = work->result[i].change;

        ranked[i] = (struct ranked){work->screen->down ? change : -change, i};
    }
    qsort(ranked, (size_t)n, sizeof *ranked, compare);
    for (int64_t i = 0; i < n; i++)
        order[i] = ranked[i].set;
    tess_free(ranked);
    return order;
}

void tess_screening_spread(struct screening *work)
{
    const struct tess_sets *sets = &work->perturbation;
    struct screen_spread *spread = &work->spread;
    double sum = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < sets->n; i++) {
            double change = work->result[i].change;

            if (sets->member[sets->first[i]] == work->control)
                continue;
            spread->n += pass == 0;
            sum += pass == 0 ? change : 0;
            spread->squares += pass == 0 ? 0 : (change - spread->mean) * (change - spread->mean);
        }
        spread->mean = sum / spread->n;
    }
}

double tess_screening_z(const struct screening *work, int64_t set)
{
    const struct screen_spread *spread = &work->spread;
    double deviation = spread->n > 1 ? sqrt(spread->squares / (spread->n - 1)) : NAN;

    return (work->result[set].change - spread->mean) / deviation;
}

const char *const tess_screening_trained_names[3] = {"here", "elsewhere", "never"};

int tess_screening_trained(const struct screening *work, int64_t set)
{
    const struct screen_result *result = &work->result[set];

    return !work->knows_trained ? -1 : result->n_trained > 0 ? 0 : result->n_elsewhere > 0 ? 1 : 2;
}

enum tess_known tess_screening_known(const struct screening *work, int64_t set)
{
    const struct tess_sets *sets = &work->perturbation;
    enum tess_known least = tess_known_row(&work->model, sets->first[set + 1] - sets->first[set],
                                           sets->member + sets->first[set], -1);

    for (int64_t c = 0; c < work->context.n; c++) {
        enum tess_known one =
            tess_known_symbol(&work->model, TESS_TABLE_C, work->context.member[c]);

        least = one > least ? one : least;
    }
    return least;
}

char *tess_screening_name(const struct screening *work, int64_t set, int target)
{
    const struct tess_sets *sets = &work->perturbation;
    struct tess_strings part = {0};
    char *name;

    for (int64_t k = sets->first[set]; k < sets->first[set + 1]; k++) {
        const char *symbol = work->model.perturbation.symbol[sets->member[k]];

        tess_strings_add(&part, target ? tess_target_name(symbol) : symbol);
    }
    name = tess_strings_join(&part, "+", part.n);
    tess_strings_release(&part);
    return name;
}

static void write_line(struct tess_sheet *sheet, const struct screening *work, int64_t place,
                       int64_t set)
{
    const struct screen_result *result = &work->result[set];
    char *name = tess_screening_name(work, set, 0), *target = tess_screening_name(work, set, 1);
    int trained = tess_screening_trained(work, set);

    tess_sheet_count(sheet, place + 1);
    tess_sheet_text(sheet, name);
    tess_sheet_text(sheet, target);
    tess_sheet_number(sheet, result->change, 1);
    tess_sheet_number(sheet, work->model.n_members > 1 ? result->deviation : NAN, 1);
    tess_sheet_number(sheet, tess_screening_z(work, set), 1);
    tess_sheet_number(sheet, (double)result->agreeing / (double)work->context.n, 1);
    tess_sheet_number(sheet, result->measured, 1);
    tess_sheet_count(sheet, result->n_measured);
    tess_sheet_text(sheet, trained < 0 ? "" : tess_screening_trained_names[trained]);
    if (tess_known_differs(&work->model))
        tess_sheet_text(sheet, tess_known_names[tess_screening_known(work, set)]);
    tess_sheet_end(sheet);
    tess_free(name);
    tess_free(target);
}

static void write_ranked(struct tess_sheet *sheet, const struct screening *work)
{
    int64_t top = work->screen->top, n = work->perturbation.n;
    int64_t *order = tess_screening_order(work);

    tess_sheet_head(sheet, COLUMNS - !tess_known_differs(&work->model), column);
    for (int64_t i = 0; i < n && (top == 0 || i < top); i++)
        write_line(sheet, work, i, order[i]);
    tess_free(order);
}

int tess_screening_write(const struct screening *work, struct tess_error *error)
{
    const struct tess_screen *screen = work->screen;
    struct tess_sheet sheet = {0};
    size_t n;

    if (screen->text)
        tess_sheet_open_memory(&sheet, screen->text, &n, error);
    else
        tess_sheet_open(&sheet, screen->output, screen->force, error);
    if (error->code == TESS_OK) {
        if (screen->next > 0)
            tess_screening_write_next(work, &sheet);
        else
            write_ranked(&sheet, work);
        tess_sheet_finish(&sheet, error);
    }
    tess_sheet_release(&sheet);
    return error->code;
}
