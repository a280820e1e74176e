/* remarks.c -- what is no error, but seldom what people mean: of values, names, controls, contexts.
 */
#include "remarks.h"

#include "tessera/alloc.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ENOUGH_VALUES  ((int64_t)10000000) /* to know what values look like */
#define FEW_VALUES     1000 /* too few to judge */
#define COUNT_LARGEST  20.0f /* scores and grades are whole numbers too */
#define LOGGED_LARGEST 25.0f /* log2 of what a sequencer counts */
#define TWICE_LARGEST  2.5f /* log1p(log1p(10⁵)) = 2.53 */
#define ALWAYS_WHOLE   16777216.0f /* 2^24: from there on every float is */
#define SHOWN          3 /* names in a sentence */

void tess_value_facts_add(struct tess_value_facts *facts, const float *value, int64_t n,
                          int64_t n_implied_zeros)
{
    if (facts->n >= ENOUGH_VALUES)
        return;
    facts->n += n_implied_zeros;
    facts->n_zero += n_implied_zeros;
    for (int64_t k = 0; k < n; k++) {
        float x = value[k];

        if (isnan(x))
            continue;
        facts->n++;
        facts->n_zero += x == 0;
        facts->n_broken += x != floorf(x) || x >= ALWAYS_WHOLE;
        facts->n_negative += x < 0;
        if (x > facts->largest)
            facts->largest = x;
    }
}

/* At most one of the three: counts that want a transformation, logarithms that get another one, and
 * logarithms that were taken twice. Thresholds are rules of thumb, and these are remarks. */
static void remark_values(const struct tess_import_options *options,
                          const struct tess_value_facts *facts, int64_t n_readouts,
                          struct tess_strings *remark)
{
    int scaled = options->normalize_total > 0, counts;
    char text[512];

    counts = facts->n > 0 && facts->n_negative == 0 && facts->n_broken == 0 &&
             facts->largest >= COUNT_LARGEST && n_readouts > 1;
    *text = '\0';
    if (counts && !(scaled && options->log1p))
        snprintf(text, sizeof text,
                 "values are whole numbers up to %g, as counts are: without %s deep samples and "
                 "strong readouts outweigh all others",
                 (double)facts->largest,
                 scaled           ? "--log1p"
                 : options->log1p ? "--normalize-total"
                                  : "--normalize-total 1e4 --log1p");
    else if (options->log1p && facts->n >= FEW_VALUES && 10 * facts->n_broken > facts->n &&
             facts->largest < LOGGED_LARGEST)
        snprintf(text, sizeof text,
                 "--log1p: values are no counts and not larger than %g; they look as if their "
                 "logarithm had been taken before",
                 (double)facts->largest);
    else if (!options->log1p && facts->n >= FEW_VALUES && facts->n_negative == 0 &&
             10 * facts->n_zero > 3 * facts->n && facts->n_broken > 0 &&
             facts->largest < TWICE_LARGEST)
        snprintf(text, sizeof text,
                 "many values are 0 and none is larger than %g; they look as if their logarithm "
                 "had been taken twice",
                 (double)facts->largest);
    if (*text)
        tess_strings_add(remark, text);
}

static int is_month(const char *text)
{
    static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                         "jul", "aug", "sep", "oct", "nov", "dec"};

    for (int i = 0; i < 12; i++)
        if (strncasecmp(text, months[i], 3) == 0)
            return 1;
    return 0;
}

/* "1-Mar", "Mar-01", "2.31E+13": what a spreadsheet makes of MARCH1 and of the clone 2310000E13. */
static int is_spreadsheets(const char *text)
{
    size_t digits = strspn(text, "0123456789"), fraction;

    if (digits >= 1 && digits <= 2 && text[digits] == '-' && is_month(text + digits + 1) &&
        text[digits + 4] == '\0')
        return 1;
    if (is_month(text) && text[3] == '-' && isdigit((unsigned char)text[4]) &&
        strspn(text + 4, "0123456789") == strlen(text + 4) && strlen(text + 4) <= 2)
        return 1;
    fraction = text[digits] == '.' ? 1 + strspn(text + digits + 1, "0123456789") : 0;
    text += digits + fraction;
    return digits == 1 && strncmp(text, "E+", 2) == 0 && strspn(text + 2, "0123456789") == 2 &&
           text[4] == '\0';
}

/* "3 readouts are …: A, B, C" */
static void add_names(struct tess_strings *remark, const struct tess_strings *name,
                      const char *what, const char *sentence)
{
    char *list = tess_strings_join(name, ", ", SHOWN), *text;

    if (name->n) {
        text =
            tess_format("%zu %s%s %s: %s", name->n, what, name->n == 1 ? "" : "s", sentence, list);
        tess_strings_add(remark, text);
        tess_free(text);
    }
    tess_free(list);
}

static void remark_spreadsheet(const struct tess_vocab *vocab, const char *what,
                               struct tess_strings *remark)
{
    struct tess_strings found = {0};

    for (int64_t i = 0; i < vocab->n; i++)
        if (is_spreadsheets(vocab->symbol[i]))
            tess_strings_add(&found, vocab->symbol[i]);
    add_names(remark, &found, what, "turned into dates or numbers by a spreadsheet, it seems");
    tess_strings_release(&found);
}

/* Each against the first of its spelling: in a sorted vocabulary the one with capitals. */
static void remark_case(const struct tess_vocab *vocab, const char *what,
                        struct tess_strings *remark)
{
    struct tess_strings found = {0};
    struct tess_intern seen = {0};
    int64_t *first = TESS_NEW(int64_t, vocab->n);

    for (int64_t i = 0; i < vocab->n; i++) {
        char *lower = tess_strdup(vocab->symbol[i]), *pair;
        int64_t before = seen.n, number;

        for (char *c = lower; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        number = tess_intern_add(&seen, lower, strlen(lower));
        if (number == before)
            first[number] = i;
        else {
            pair = tess_format("%s and %s", vocab->symbol[first[number]], vocab->symbol[i]);
            tess_strings_add(&found, pair);
            tess_free(pair);
        }
        tess_free(lower);
    }
    add_names(remark, &found, what, "differing from another in upper and lower case only");
    tess_strings_release(&found);
    tess_intern_release(&seen);
    tess_free(first);
}

/* Rows are counted, not experiments: controls are few experiments of many replicates. */
static void remark_controls(const struct tess_index *index, struct tess_strings *remark)
{
    int64_t controls = 0, rows = 0, all = 0;
    char text[256];

    for (int64_t i = 0; i < index->n_experiments; i++) {
        int control = tess_index_is_control(index, index->combination[i]);

        controls += control;
        rows += control ? index->n_replicates[i] : 0;
        all += index->n_replicates[i];
    }
    *text = '\0';
    if (index->n_experiments > 0 && controls == index->n_experiments)
        snprintf(text, sizeof text,
                 "every row is the control: is --perturbation the right column?");
    else if (index->n_experiments > 0 && controls == 0)
        snprintf(text, sizeof text,
                 "no row is the control: name it with --control if there is one; changes against "
                 "it cannot be scored");
    else if (2 * rows > all)
        snprintf(text, sizeof text,
                 "%lld of %lld replicates are of the control: does --control name too much?",
                 (long long)rows, (long long)all);
    if (*text)
        tess_strings_add(remark, text);
}

/* Contexts that have no perturbation in common with any other one: nothing carries over to them. */
static void remark_contexts(const struct tess_index *index, struct tess_strings *remark)
{
    enum { NONE = -1, SEVERAL = -2 };
    int64_t *only = TESS_NEW(int64_t, index->n_combinations);
    char *has = TESS_NEW(char, index->context.n), *shares = TESS_NEW(char, index->context.n);
    struct tess_strings found = {0};

    for (int64_t c = 0; c < index->n_combinations; c++)
        only[c] = NONE;
    for (int64_t i = 0; i < index->n_experiments; i++) {
        int64_t *of = &only[index->combination[i]], context = index->context_of[i];

        *of = *of == NONE || *of == context ? context : SEVERAL;
    }
    for (int64_t i = 0; i < index->n_experiments; i++) {
        int64_t context = index->context_of[i];

        if (tess_index_is_control(index, index->combination[i]))
            continue;
        has[context] = 1;
        shares[context] |= only[index->combination[i]] == SEVERAL;
    }
    for (int64_t c = 0; c < index->context.n && index->context.n > 1; c++)
        if (has[c] && !shares[c])
            tess_strings_add(&found, index->context.symbol[c]);
    add_names(remark, &found, "context", "without a perturbation that any other context has");
    tess_strings_release(&found);
    tess_free(only);
    tess_free(has);
    tess_free(shares);
}

void tess_remarks_find(const struct tess_plan *plan, const struct tess_index *index,
                       const struct tess_value_facts *facts, struct tess_strings *remark)
{
    const struct {
        const struct tess_vocab *vocab;
        const char *what;
    } of[] = {{&index->perturbation, "perturbation"},
              {&index->readout, "readout"},
              {&index->context, "context"}};

    remark_values(plan->options, facts, index->readout.n, remark);
    for (int k = 0; k < 3; k++) {
        remark_spreadsheet(of[k].vocab, of[k].what, remark);
        remark_case(of[k].vocab, of[k].what, remark);
    }
    remark_controls(index, remark);
    remark_contexts(index, remark);
}
