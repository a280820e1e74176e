/* screen_table.c -- the ranked table. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/sheet.h"

#include <math.h>
#include <stdlib.h>

static const char *const column[] = {"rank",      "perturbation", "change",      "std",    "z",
                                     "agreement", "measured",     "measured_in", "trained"};

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

static struct ranked *rank(const struct screening *work)
{
    struct ranked *order = TESS_NEW(struct ranked, work->perturbation.n);

    for (int64_t i = 0; i < work->perturbation.n; i++) {
        double change = work->result[i].change;

        order[i] = (struct ranked){work->screen->down ? change : -change, i};
    }
    qsort(order, (size_t)work->perturbation.n, sizeof *order, compare);
    return order;
}

/* Mean and standard deviation (n - 1) of all scores but the control's, which is 0 by definition. */
struct spread {
    double mean, deviation;
};

static struct spread spread_of(const struct screening *work)
{
    const struct tess_sets *sets = &work->perturbation;
    double n = 0, sum = 0, squares = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < sets->n; i++) {
            double change = work->result[i].change;

            if (sets->member[sets->first[i]] == work->control)
                continue;
            n += pass == 0;
            sum += pass == 0 ? change : 0;
            squares += pass == 0 ? 0 : (change - sum / n) * (change - sum / n);
        }
    }
    return (struct spread){sum / n, n > 1 ? sqrt(squares / (n - 1)) : NAN};
}

static const char *trained(const struct screen_result *result)
{
    return result->n_trained > 0 ? "here" : result->n_elsewhere > 0 ? "elsewhere" : "never";
}

static void write_line(struct tess_sheet *sheet, const struct screening *work,
                       const struct spread *spread, int64_t place, int64_t set)
{
    const struct screen_result *result = &work->result[set];
    char *name = tess_sets_name(&work->perturbation, set, &work->model.perturbation);

    tess_sheet_count(sheet, place + 1);
    tess_sheet_text(sheet, name);
    tess_sheet_number(sheet, result->change, 1);
    tess_sheet_number(sheet, work->model.n_members > 1 ? result->deviation : NAN, 1);
    tess_sheet_number(sheet, (result->change - spread->mean) / spread->deviation, 1);
    tess_sheet_number(sheet, (double)result->agreeing / (double)work->context.n, 1);
    tess_sheet_number(sheet, result->measured, 1);
    tess_sheet_count(sheet, result->n_measured);
    tess_sheet_text(sheet, work->knows_trained ? trained(result) : "");
    tess_sheet_end(sheet);
    tess_free(name);
}

static void write_ranked(struct tess_sheet *sheet, const struct screening *work)
{
    struct spread spread = spread_of(work);
    struct ranked *order = rank(work);
    int64_t top = work->screen->top, n = work->perturbation.n;

    tess_sheet_head(sheet, sizeof column / sizeof column[0], column);
    for (int64_t i = 0; i < n && (top == 0 || i < top); i++)
        write_line(sheet, work, &spread, i, order[i].set);
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
        if (work->cell)
            tess_screening_write_next(work, &sheet);
        else
            write_ranked(&sheet, work);
        tess_sheet_finish(&sheet, error);
    }
    tess_sheet_release(&sheet);
    return error->code;
}
