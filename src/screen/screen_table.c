/* screen_table.c -- the ranked table. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const column[] = {"perturbation", "change",   "std",         "z",
                                     "agreement",    "measured", "measured_in", "trained"};

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

static void put_line(struct screen_text *text, const struct screening *work,
                     const struct spread *spread, int64_t place, int64_t set)
{
    const struct screen_result *result = &work->result[set];
    int several = work->model.n_members > 1;

    tess_screen_put(text, "%lld", (long long)place + 1);
    tess_screen_put_set(text, work, set);
    tess_screen_put_number(text, result->change);
    tess_screen_put_number(text, several ? result->deviation : NAN);
    tess_screen_put_number(text, (result->change - spread->mean) / spread->deviation);
    tess_screen_put_number(text, (double)result->agreeing / (double)work->context.n);
    tess_screen_put_number(text, result->measured);
    tess_screen_put(text, "%c%lld", text->between, (long long)result->n_measured);
    tess_screen_put_name(text, work->knows_trained ? trained(result) : "");
    tess_screen_put(text, "\n");
}

static void put_ranked(struct screen_text *text, const struct screening *work)
{
    struct spread spread = spread_of(work);
    struct ranked *order = rank(work);
    int64_t top = work->screen->top, n = work->perturbation.n;

    tess_screen_put(text, "rank");
    for (size_t k = 0; k < sizeof column / sizeof column[0]; k++)
        tess_screen_put_name(text, column[k]);
    tess_screen_put(text, "\n");
    for (int64_t i = 0; i < n && (top == 0 || i < top); i++)
        put_line(text, work, &spread, i, order[i].set);
    tess_free(order);
}

int tess_screening_write(const struct screening *work, struct tess_error *error)
{
    const char *path = work->screen->output, *end = strrchr(path, '.');
    struct screen_text text = {.between = end && strcmp(end, ".csv") == 0 ? ',' : '\t'};

    if (work->cell)
        tess_screen_put_next(&text, work);
    else
        put_ranked(&text, work);
    if (strcmp(path, TESS_SCREEN_PIPE) != 0)
        tess_commit_text(path, text.text, error);
    else if (fwrite(text.text, 1, text.n, stdout) != text.n || fflush(stdout) != 0)
        tess_error_set(error, TESS_EIO, "standard output: cannot be written: %s", strerror(errno));
    tess_free(text.text);
    return error->code;
}
