/* screen_table.c -- the ranked table. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct text {
    char *text; /* own */
    size_t n, room;
};

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *text, const char *format, ...)
{
    va_list list, again;
    int n;

    va_start(list, format);
    va_copy(again, list);
    n = vsnprintf(NULL, 0, format, list);
    text->text = tess_grow(text->text, &text->room, text->n + (size_t)n + 1, 1);
    vsnprintf(text->text + text->n, (size_t)n + 1, format, again);
    text->n += (size_t)n;
    va_end(list);
    va_end(again);
}

/* Empty: not known. */
static void put_number(struct text *text, char between, double x)
{
    if (isnan(x))
        put(text, "%c", between);
    else
        put(text, "%c%.9g", between, x);
}

/* Symbols with the separator, a quote or a line's end in them are quoted. */
static void put_name(struct text *text, char between, const struct screening *work, int64_t set)
{
    const struct tess_sets *sets = &work->perturbation;
    struct text name = {0};
    int quoted;

    for (int64_t k = sets->first[set]; k < sets->first[set + 1]; k++)
        put(&name, "%s%s", k > sets->first[set] ? "+" : "",
            work->model.perturbation.symbol[sets->member[k]]);
    quoted = strchr(name.text, between) || strpbrk(name.text, "\"\n\r");
    put(text, "%c%s", between, quoted ? "\"" : "");
    for (const char *c = name.text; *c; c++)
        put(text, "%s%c", quoted && *c == '"' ? "\"" : "", *c);
    put(text, "%s", quoted ? "\"" : "");
    tess_free(name.text);
}

static char separator_of(const struct screening *work)
{
    const char *end = strrchr(work->screen->output, '.');

    return end && strcmp(end, ".csv") == 0 ? ',' : '\t';
}

static const char *trained(const struct screen_result *result)
{
    return result->n_trained > 0 ? "here" : result->n_elsewhere > 0 ? "elsewhere" : "never";
}

static void put_line(struct text *text, const struct screening *work, const struct spread *spread,
                     int64_t place, int64_t set)
{
    char between = separator_of(work);
    const struct screen_result *result = &work->result[set];
    int several = work->model.n_members > 1;

    put(text, "%lld", (long long)place + 1);
    put_name(text, between, work, set);
    put_number(text, between, result->change);
    put_number(text, between, several ? result->deviation : NAN);
    put_number(text, between, (result->change - spread->mean) / spread->deviation);
    put_number(text, between, (double)result->agreeing / (double)work->context.n);
    put_number(text, between, result->measured);
    put(text, "%c%lld", between, (long long)result->n_measured);
    if (work->knows_trained)
        put(text, "%c%s", between, trained(result));
    else
        put(text, "%c", between);
    put(text, "\n");
}

static void put_table(struct text *text, const struct screening *work)
{
    static const char *const column[] = {"rank",      "perturbation", "change",      "std",    "z",
                                         "agreement", "measured",     "measured_in", "trained"};
    char between = separator_of(work);
    struct spread spread = spread_of(work);
    struct ranked *order = rank(work);
    int64_t top = work->screen->top, n = work->perturbation.n;

    put(text, "%s", column[0]);
    for (size_t k = 1; k < sizeof column / sizeof column[0]; k++)
        put(text, "%c%s", between, column[k]);
    put(text, "\n");
    for (int64_t i = 0; i < n && (top == 0 || i < top); i++)
        put_line(text, work, &spread, i, order[i].set);
    tess_free(order);
}

int tess_screening_write(const struct screening *work, struct tess_error *error)
{
    const char *path = work->screen->output;
    struct text text = {0};

    put_table(&text, work);
    if (strcmp(path, TESS_SCREEN_PIPE) != 0)
        tess_commit_text(path, text.text, error);
    else if (fwrite(text.text, 1, text.n, stdout) != text.n || fflush(stdout) != 0)
        tess_error_set(error, TESS_EIO, "standard output: cannot be written: %s", strerror(errno));
    tess_free(text.text);
    return error->code;
}
