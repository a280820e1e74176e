/* dose_parts.c -- drug@10uM@24h as the drug's row, its slope times the dose, a slope and a bend
 * that all drugs share, the same of the time, and an own row.
 *
 * Doses count by the logarithm, from the middle of those that the drug has names for. A dose that
 * nobody measured has no own row, and lies between (or, by the slopes, beyond) the drug's others: a
 * straight line through them where there are two. */
#include "dose_parts.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/dose.h"
#include "tessera/error.h"
#include "tessera/intern.h"
#include "tessera/text.h"

#include <math.h>
#include <string.h>

#define OWN   0.3f /* weight of the own row: what is common is learned first */
#define SHARE 0.5f /* of rows that all drugs share */
#define HOURS 10.0 /* where times are 0 */

/* What a symbol with a dose is made of beside its own row. */
enum { BASE, SLOPE, LATER, ALL_SLOPE, ALL_BEND, ALL_LATER, ALL_LATER_BEND, PARTS };

/* Names of parts end with what they are of, behind the name of the drug (of all: none). */
static const char *const ending[PARTS] = {"",       "@dose", "@time", "@dose",
                                          "@dose2", "@time", "@time2"};

static char *part_name(const char *drug, size_t length, int part)
{
    return tess_format("%.*s%s", part < ALL_SLOPE ? (int)length : 0, drug, ending[part]);
}

/* What each part counts. */
static void weigh(const struct tess_dose *dose, double middle, float *weight)
{
    double x = log10(dose->amount) - middle, t = dose->hours > 0 ? log10(dose->hours / HOURS) : 0;

    weight[BASE] = 1;
    weight[SLOPE] = (float)x;
    weight[LATER] = (float)t;
    weight[ALL_SLOPE] = SHARE * (float)x;
    weight[ALL_BEND] = SHARE * (float)(x * x);
    weight[ALL_LATER] = SHARE * (float)t;
    weight[ALL_LATER_BEND] = SHARE * (float)(t * t);
}

static int uses(const struct tess_dose *dose, int part)
{
    return dose->hours > 0 || (part != LATER && part != ALL_LATER && part != ALL_LATER_BEND);
}

/* All parts of all symbols, as a vocabulary. */
static void collect(struct tess_vocab *vocab, const struct tess_vocab *symbols)
{
    struct tess_intern names = {0};
    struct tess_dose dose;

    for (int64_t i = 0; i < symbols->n; i++)
        for (int part = 0; tess_dose_read(symbols->symbol[i], &dose) && part < PARTS; part++) {
            char *name = part_name(symbols->symbol[i], dose.length, part);

            if (uses(&dose, part))
                tess_intern_add(&names, name, strlen(name));
            tess_free(name);
        }
    tess_vocab_init(vocab, names.n, (const char *const *)names.text, NULL);
    tess_intern_release(&names);
}

/* The parts' rows and weights; n stays 0 if one is not there. */
static void take_parts(const struct tess_vocab *part, int64_t own, const char *symbol,
                       const struct tess_dose *dose, double middle, struct tess_terms *terms)
{
    float weight[PARTS];
    int known = 1;

    weigh(dose, middle, weight);
    for (int k = 0; k < PARTS; k++) {
        char *name = part_name(symbol, dose->length, k);

        if (uses(dose, k)) {
            int64_t number = tess_vocab_find(part, name);

            known = known && number >= 0;
            terms->row[terms->n] = own + number;
            terms->weight[terms->n++] = weight[k];
        }
        tess_free(name);
    }
    terms->n = known ? terms->n : 0;
}

/* Drugs' own rows begin as long as any; their slopes and what is shared at 0. */
static void start_drugs(struct tess_composition *composition, const struct tess_vocab *symbols)
{
    for (int64_t i = 0; i < composition->n; i++) {
        struct tess_dose dose;

        if (tess_dose_read(symbols->symbol[i], &dose)) {
            char *name = part_name(symbols->symbol[i], dose.length, BASE);

            composition->start[composition->n + tess_vocab_find(&composition->part, name)] = 1;
            tess_free(name);
        }
    }
}

static void fill(struct tess_composition *composition, const struct tess_vocab *symbols)
{
    int64_t n = composition->n, at = 0;

    composition->n_rows = n + composition->part.n;
    composition->first = TESS_NEW(int64_t, n + 1);
    composition->row = TESS_NEW(int64_t, n * (PARTS + 1));
    composition->weight = TESS_NEW(float, n *(PARTS + 1));
    composition->start = TESS_NEW(float, composition->n_rows);
    for (int64_t i = 0; i < n; i++) {
        const char *symbol = symbols->symbol[i];
        struct tess_terms terms = {.n = 0};
        struct tess_dose dose;
        double middle;
        int kind, dosed = tess_dose_read(symbol, &dose);

        if (dosed) {
            tess_dose_middle(symbols, symbol, dose.length, &middle, &kind);
            take_parts(&composition->part, n, symbol, &dose, middle, &terms);
        }
        composition->start[i] = dosed ? 0 : 1;
        composition->row[at] = i;
        composition->weight[at++] = dosed ? OWN : 1;
        for (int k = 0; k < terms.n; k++) {
            composition->row[at] = terms.row[k];
            composition->weight[at++] = terms.weight[k];
        }
        composition->first[i + 1] = at;
    }
    start_drugs(composition, symbols);
}

static int check_kinds(const struct tess_vocab *symbols, const char *where,
                       struct tess_error *error)
{
    int64_t n = 0;

    for (int64_t i = 0; i < symbols->n && error->code == TESS_OK; i++) {
        struct tess_dose dose;
        double middle;
        int64_t odd;
        int kind;

        if (!tess_dose_read(symbols->symbol[i], &dose))
            continue;
        n++;
        odd = tess_dose_middle(symbols, symbols->symbol[i], dose.length, &middle, &kind);
        if (odd >= 0)
            tess_error_set(error, TESS_EDATA,
                           "%s: '%s' and '%s' are doses of one drug in units of different kinds: "
                           "give all of a drug's doses as concentrations, as masses per volume, or "
                           "as plain numbers",
                           where, symbols->symbol[i], symbols->symbol[odd]);
    }
    if (error->code == TESS_OK && n == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no perturbation is called like drug@10uM (import --dose makes such "
                       "names): leave model.doses at false",
                       where);
    return error->code;
}

int tess_dose_parts(struct tess_composition *composition, const struct tess_config *config,
                    const struct tess_vocab *symbols, const char *where, struct tess_error *error)
{
    if (!config->model.doses || check_kinds(symbols, where, error) != TESS_OK)
        return error->code;
    collect(&composition->part, symbols);
    fill(composition, symbols);
    return TESS_OK;
}

char *tess_dose_parts_role(const char *part)
{
    size_t length = strlen(part);

    if (part[0] == '@') /* of all drugs: there is one such row */
        return tess_strdup(part);
    for (int k = SLOPE; k <= LATER; k++)
        if (length > strlen(ending[k]) && strcmp(part + length - strlen(ending[k]), ending[k]) == 0)
            return tess_format("*%s", ending[k]);
    return tess_strdup("");
}

void tess_dose_parts_make(const struct tess_composition *composition,
                          const struct tess_vocab *symbols, const char *symbol,
                          struct tess_terms *terms)
{
    struct tess_dose dose;
    double middle;
    int kind;

    if (!tess_dose_read(symbol, &dose))
        return;
    tess_dose_middle(symbols, symbol, dose.length, &middle, &kind);
    if (kind == dose.kind &&
        (dose.hours > 0 || tess_dose_has_timeless(symbols, symbol, dose.length)))
        take_parts(&composition->part, composition->n_rows - composition->part.n, symbol, &dose,
                   middle, terms);
}
