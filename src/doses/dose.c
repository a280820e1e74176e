/* dose.c -- amounts with units, and their one spelling. */
#include "tessera/dose.h"

#include "tessera/alloc.h"
#include "tessera/vocab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int kind;
    double size;
};
/* Of each kind ascending; first those that are written. The rest are other spellings. */
static const struct unit amounts[] = {
    {"fM", TESS_DOSE_MOLAR, 1e-15},
    {"pM", TESS_DOSE_MOLAR, 1e-12},
    {"nM", TESS_DOSE_MOLAR, 1e-9},
    {"uM", TESS_DOSE_MOLAR, 1e-6},
    {"mM", TESS_DOSE_MOLAR, 1e-3},
    {"M", TESS_DOSE_MOLAR, 1},
    {"pg/mL", TESS_DOSE_MASS, 1e-12},
    {"ng/mL", TESS_DOSE_MASS, 1e-9},
    {"ug/mL", TESS_DOSE_MASS, 1e-6},
    {"mg/mL", TESS_DOSE_MASS, 1e-3},
    {"g/mL", TESS_DOSE_MASS, 1},
    {"\xC2\xB5M", TESS_DOSE_MOLAR, 1e-6},
    {"\xCE\xBCM", TESS_DOSE_MOLAR, 1e-6},
    {"\xC2\xB5g/mL", TESS_DOSE_MASS, 1e-6},
    {"\xCE\xBCg/mL", TESS_DOSE_MASS, 1e-6},
    {"pg/ml", TESS_DOSE_MASS, 1e-12},
    {"ng/ml", TESS_DOSE_MASS, 1e-9},
    {"ug/ml", TESS_DOSE_MASS, 1e-6},
    {"\xC2\xB5g/ml", TESS_DOSE_MASS, 1e-6},
    {"\xCE\xBCg/ml", TESS_DOSE_MASS, 1e-6},
    {"mg/ml", TESS_DOSE_MASS, 1e-3},
};
enum { WRITTEN = 11, AMOUNTS = sizeof amounts / sizeof *amounts };

static const struct unit times[] = {
    {"s", 0, 1.0 / 3600}, {"min", 0, 1.0 / 60}, {"h", 0, 1},    {"hr", 0, 1},    {"hours", 0, 1},
    {"hour", 0, 1},       {"d", 0, 24},         {"day", 0, 24}, {"days", 0, 24}, {"m", 0, 1.0 / 60},
};
enum { TIMES_WRITTEN = 3, TIMES = sizeof times / sizeof *times };

static const struct unit *find_unit(const struct unit *unit, int n, const char *text, size_t length)
{
    for (int i = 0; i < n; i++)
        if (strlen(unit[i].name) == length && strncmp(unit[i].name, text, length) == 0)
            return &unit[i];
    return NULL;
}

/* A decimal number and what follows it, without blanks: *rest of *length bytes. 1, or 0. */
static int read_number(const char *text, double *x, const char **rest, size_t *length)
{
    char *end;

    while (*text == ' ')
        text++;
    if (!strchr("+-.0123456789", *text) || !*text)
        return 0;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return 0;
    *x = strtod(text, &end);
    if (end == text || !isfinite(*x))
        return 0;
    while (*end == ' ')
        end++;
    *rest = end;
    *length = strlen(end);
    while (*length > 0 && end[*length - 1] == ' ')
        --*length;
    return 1;
}

/* 1, and the unit, or NULL where there is none at all; 0 if it is none of them. */
static int read_unit(const char *text, size_t length, const char *otherwise,
                     const struct unit *const all[2], const struct unit **found)
{
    int n = (int)(all[1] - all[0]);

    *found = NULL;
    if (length == 0 && !otherwise)
        return 1;
    *found = length ? find_unit(all[0], n, text, length)
                    : find_unit(all[0], n, otherwise, strlen(otherwise));
    return *found != NULL;
}

int tess_dose_amount(const char *text, const char *unit, struct tess_dose *dose)
{
    const struct unit *const all[2] = {amounts, amounts + AMOUNTS}, *found;
    const char *rest;
    size_t length;

    if (!read_number(text, &dose->amount, &rest, &length) ||
        !read_unit(rest, length, unit, all, &found))
        return 0;
    dose->kind = found ? found->kind : TESS_DOSE_LEVEL;
    dose->amount *= found ? found->size : 1;
    return 1;
}

int tess_dose_hours(const char *text, const char *unit, double *hours)
{
    const struct unit *const all[2] = {times, times + TIMES}, *found;
    const char *rest;
    size_t length;
    double x;

    if (!read_number(text, &x, &rest, &length) || !read_unit(rest, length, unit, all, &found) ||
        !found)
        return 0;
    *hours = x * found->size;
    return 1;
}

/* As tess_dose_read, but 0 is a dose, too. */
static int read_end(const char *symbol, struct tess_dose *dose)
{
    const char *last = strrchr(symbol, TESS_DOSE_MARK), *before = last;
    char *amount;
    int known;

    dose->hours = 0;
    if (!last || last == symbol)
        return 0;
    if (tess_dose_hours(last + 1, NULL, &dose->hours)) {
        for (before = last - 1; before > symbol && *before != TESS_DOSE_MARK;)
            before--;
        if (before <= symbol || dose->hours <= 0)
            return 0;
    }
    amount = before == last ? tess_strdup(last + 1)
                            : tess_format("%.*s", (int)(last - before - 1), before + 1);
    known = tess_dose_amount(amount, NULL, dose) && dose->amount >= 0;
    dose->length = (size_t)(before - symbol);
    tess_free(amount);
    return known;
}

int tess_dose_read(const char *symbol, struct tess_dose *dose)
{
    return read_end(symbol, dose) && dose->amount > 0;
}

int tess_dose_is_none(const char *symbol, struct tess_dose *dose)
{
    return read_end(symbol, dose) && dose->amount == 0;
}

/* At most nine digits, and no plus, which stands between the components of combinations. */
static void write_number(double x, char text[32])
{
    char *plus;

    snprintf(text, 32, "%.9g", x);
    plus = strchr(text, '+');
    if (plus)
        memmove(plus, plus + 1, strlen(plus));
}

/* In the first of n units, from small ones on, in which the number, as it is rounded, is less than
 * one of the next. */
static char *spell(double x, const struct unit *unit, int n)
{
    char text[32];
    int i = 0;

    for (;; i++) {
        write_number(x / unit[i].size, text);
        if (i == n - 1 || strtod(text, NULL) < unit[i + 1].size / unit[i].size * (1 - 1e-12))
            break;
    }
    return tess_format("%s%s", text, unit[i].name);
}

char *tess_dose_name(const char *name, size_t length, const struct tess_dose *dose)
{
    static const int first[] = {0, 0, 6}, end[] = {0, 6, WRITTEN};
    char *amount, *time, *symbol;
    char level[32];

    write_number(dose->amount, level);
    amount = dose->kind == TESS_DOSE_LEVEL ? tess_strdup(level)
                                           : spell(dose->amount, amounts + first[dose->kind],
                                                   end[dose->kind] - first[dose->kind]);
    time = dose->hours > 0 ? spell(dose->hours, times, TIMES_WRITTEN) : tess_strdup("");
    symbol = tess_format("%.*s%c%s%s%s", (int)length, name, TESS_DOSE_MARK, amount,
                         dose->hours > 0 ? "@" : "", time);
    tess_free(amount);
    tess_free(time);
    return symbol;
}

static int begins(const char *symbol, const char *drug, size_t length)
{
    return strncmp(symbol, drug, length) == 0 && symbol[length] == TESS_DOSE_MARK;
}

static int same_drug(const char *symbol, const char *drug, size_t length, struct tess_dose *dose)
{
    return tess_dose_read(symbol, dose) && dose->length == length &&
           strncmp(symbol, drug, length) == 0;
}

/* The place where "NAME@" stands or would stand among the symbols. */
static int64_t lower_bound(const struct tess_vocab *symbols, const char *drug, size_t length)
{
    int64_t low = 0, high = symbols->n;
    char *begin = tess_format("%.*s%c", (int)length, drug, TESS_DOSE_MARK);

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (strcmp(symbols->symbol[middle], begin) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    tess_free(begin);
    return low;
}

/* The symbols of a drug are neighbours, with others between that only begin so. */
int64_t tess_dose_middle(const struct tess_vocab *symbols, const char *drug, size_t length,
                         double *middle, int *kind)
{
    int64_t n = 0, odd = -1;
    struct tess_dose dose;

    *middle = 0;
    *kind = -1;
    for (int64_t i = lower_bound(symbols, drug, length);
         i < symbols->n && begins(symbols->symbol[i], drug, length); i++) {
        if (!same_drug(symbols->symbol[i], drug, length, &dose))
            continue;
        if (*kind >= 0 && dose.kind != *kind)
            odd = i;
        *kind = dose.kind;
        *middle += log10(dose.amount);
        n++;
    }
    *middle /= n > 0 ? (double)n : 1;
    return odd;
}

int tess_dose_has_timeless(const struct tess_vocab *symbols, const char *drug, size_t length)
{
    struct tess_dose dose;

    for (int64_t i = lower_bound(symbols, drug, length);
         i < symbols->n && begins(symbols->symbol[i], drug, length); i++)
        if (same_drug(symbols->symbol[i], drug, length, &dose) && dose.hours <= 0)
            return 1;
    return 0;
}
