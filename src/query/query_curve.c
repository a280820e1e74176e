/* query_curve.c -- dose-response curves: a list of queries that nobody had to write. */
#include "query.h"

#include "tessera/alloc.h"
#include "tessera/choice.h"
#include "tessera/dose.h"
#include "tessera/error.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define POINTS 13 /* of a curve, if nobody says how many */
#define MOST   100000
#define BEYOND 3.0 /* times the highest measured dose, and a third of the lowest */

/* What is asked of one drug. */
struct curve {
    const char *drug; /* borrowed */
    size_t length;
    struct tess_dose from, to; /* and the time of both */
    int64_t n;
};

/* "FROM:TO:N", FROM:TO or nothing at all. */
static int read_doses(const char *text, struct curve *curve, struct tess_error *error)
{
    struct tess_strings part = {0};
    int fine;

    if (!text)
        return TESS_OK;
    tess_strings_split(&part, text, ':');
    fine = (part.n == 2 || part.n == 3) && tess_dose_amount(part.item[0], NULL, &curve->from) &&
           tess_dose_amount(part.item[1], NULL, &curve->to) && curve->from.amount > 0 &&
           curve->from.amount <= curve->to.amount && curve->from.kind == curve->to.kind &&
           (part.n == 2 ||
            (tess_text_int64(part.item[2], &curve->n) && curve->n > 0 && curve->n <= MOST));
    tess_strings_release(&part);
    if (!fine)
        tess_error_set(error, TESS_EUSAGE,
                       "--doses: '%s' is not FROM:TO:N, as in 0.01uM:100uM:13: two doses above 0 "
                       "in units of one kind, and how many from one to the other, %d at most",
                       text, MOST);
    return error->code;
}

/* The doses that the model has of the drug say from where to where, and of which kind they are. */
static int find_range(const struct tess_model *model, struct curve *curve, const char *doses,
                      struct tess_error *error)
{
    double low = INFINITY, high = 0, hours = curve->from.hours;
    struct tess_dose dose;
    int kind = -1;

    for (int64_t i = 0; i < model->perturbation.n; i++) {
        const char *symbol = model->perturbation.symbol[i];

        if (!tess_dose_read(symbol, &dose) || dose.length != curve->length ||
            strncmp(symbol, curve->drug, curve->length) != 0)
            continue;
        kind = dose.kind;
        low = fmin(low, dose.amount);
        high = fmax(high, dose.amount);
        if (hours <= 0)
            curve->from.hours = fmax(curve->from.hours, dose.hours);
    }
    if (kind < 0)
        return tess_error_set(
            error, TESS_EDATA,
            "--curve: %s knows no dose of '%.*s': drugs are named without dose, as "
            "in import --dose, or with the time alone (drug@24h)",
            model->path, (int)curve->length, curve->drug);
    if (!doses) {
        curve->from.amount = low / BEYOND;
        curve->to.amount = high * BEYOND;
        curve->from.kind = kind;
    }
    if (curve->from.kind != kind)
        return tess_error_set(error, TESS_EUSAGE,
                              "--doses: '%s' has another kind of unit than the doses of '%.*s'",
                              doses, (int)curve->length, curve->drug);
    return TESS_OK;
}

/* A line for each dose in each context. */
static void write_curve(FILE *out, const struct curve *curve, const struct tess_model *model,
                        const struct tess_sets *context)
{
    double ratio = curve->to.amount / curve->from.amount;

    for (int64_t c = 0; c < context->n; c++)
        for (int64_t i = 0; i < curve->n; i++) {
            struct tess_dose dose = curve->from;
            double at = curve->n > 1 ? (double)i / (double)(curve->n - 1) : 0;
            char *symbol, *drug = tess_format("%.*s", (int)curve->length, curve->drug);

            /* as it is spelled: the dose that is printed is the one that is predicted */
            dose.amount *= pow(ratio, at);
            symbol = tess_dose_name(curve->drug, curve->length, &dose);
            tess_dose_read(symbol, &dose);
            fprintf(out, "%s\t%s\t%s\t%.9g\n", model->context.symbol[context->member[c]], symbol,
                    drug, dose.amount);
            tess_free(symbol);
            tess_free(drug);
        }
}

static int add_drug(FILE *out, const struct tess_queries *queries, const char *drug,
                    const struct tess_model *model, const struct tess_sets *context,
                    struct tess_error *error)
{
    struct curve curve = {.drug = drug, .length = strlen(drug), .n = POINTS};
    const char *mark = strrchr(drug, TESS_DOSE_MARK);
    double hours = 0;

    if (mark && mark > drug && tess_dose_hours(mark + 1, NULL, &hours))
        curve.length = (size_t)(mark - drug);
    if (read_doses(queries->doses, &curve, error) != TESS_OK)
        return error->code;
    curve.from.hours = hours;
    if (find_range(model, &curve, queries->doses, error) == TESS_OK)
        write_curve(out, &curve, model, context);
    return error->code;
}

FILE *tess_query_curves(const struct tess_queries *queries, const struct tess_model *model,
                        struct tess_error *error)
{
    struct tess_choice choice = tess_choice_of(model, TESS_TABLE_C);
    struct tess_sets context = {0};
    FILE *out = tmpfile();

    if (!out)
        tess_error_set(error, TESS_EOS, "no temporary file can be made: %s", strerror(errno));
    else if (tess_select(&choice, &queries->curve_context, &context, error) == TESS_OK) {
        fputs("context\tperturbation\tdrug\tdose\n", out);
        for (size_t i = 0; i < queries->curve.n && error->code == TESS_OK; i++)
            add_drug(out, queries, queries->curve.item[i], model, &context, error);
        if ((fflush(out) != 0 || ferror(out)) && error->code == TESS_OK)
            tess_error_set(error, TESS_EIO, "the temporary file cannot be written: %s",
                           strerror(errno));
    }
    tess_sets_release(&context);
    if (out && error->code != TESS_OK) {
        fclose(out);
        out = NULL;
    }
    return out;
}
