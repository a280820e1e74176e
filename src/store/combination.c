/* combination.c -- "A+B+…" against a vocabulary whose symbols may hold pluses of their own. */
#include "tessera/combination.h"

#include "tessera/alloc.h"
#include "tessera/index.h"
#include "tessera/sets.h"
#include "tessera/text.h"

#include <string.h>

/* The text cut at its pluses: piece i ends before plus i; `rest[i]`: can pieces i … n-1 be read as
 * known symbols? */
struct cut {
    const struct tess_vocab *vocab;
    const struct tess_strings *control; /* further names of the control, or NULL */
    const char *text;
    size_t n;
    size_t *begin; /* (n + 1); piece i is [begin[i], begin[i + 1] - 1) */
    char *rest; /* (n + 1) */
};

static void cut_init(struct cut *cut, const struct tess_vocab *vocab,
                     const struct tess_strings *control, const char *text)
{
    size_t n = 1, at = 0;

    for (const char *c = text; *c; c++)
        n += *c == '+';
    *cut = (struct cut){vocab, control, text, n, TESS_NEW(size_t, n + 1), TESS_NEW(char, n + 1)};
    for (size_t i = 0; text[i]; i++)
        if (text[i] == '+')
            cut->begin[++at] = i + 1;
    cut->begin[n] = strlen(text) + 1;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Pieces [i, j) joined, without the blanks around them. */
static const char *joined(const struct cut *cut, size_t i, size_t j, size_t *length)
{
    const char *from = cut->text + cut->begin[i], *end = cut->text + cut->begin[j] - 1;

    while (from < end && is_blank(*from))
        from++;
    while (end > from && is_blank(end[-1]))
        end--;
    *length = (size_t)(end - from);
    return from;
}

/* Names of the control beside its symbol. */
static int names_control(const struct cut *cut, const char *name, size_t length)
{
    if ((length == 4 && strncmp(name, "ctrl", 4) == 0) ||
        (length == strlen(TESS_CONTROL) && strncmp(name, TESS_CONTROL, length) == 0))
        return 1;
    for (size_t i = 0; cut->control && i < cut->control->n; i++)
        if (strlen(cut->control->item[i]) == length &&
            strncmp(cut->control->item[i], name, length) == 0)
            return 1;
    return 0;
}

#define ABSENT INT64_MAX /* number of a control that the vocabulary lacks: above all others */

/* The number of pieces [i, j) joined, ABSENT, or -1. As they stand first: a symbol may begin or end
 * with a blank. */
static int64_t find(const struct cut *cut, size_t i, size_t j)
{
    size_t length = cut->begin[j] - 1 - cut->begin[i];
    int64_t found = length > (size_t)cut->vocab->width
                        ? -1
                        : tess_vocab_find_n(cut->vocab, cut->text + cut->begin[i], length);
    const char *name;

    if (found >= 0)
        return found;
    name = joined(cut, i, j, &length);
    if (length <= (size_t)cut->vocab->width)
        found = tess_vocab_find_n(cut->vocab, name, length);
    if (found < 0 && names_control(cut, name, length)) {
        found = tess_vocab_find(cut->vocab, TESS_CONTROL);
        found = found < 0 ? ABSENT : found;
    }
    return found;
}

/* The longest known symbol at piece i after which the rest can be read (or any, if `anyhow`). */
static size_t longest(const struct cut *cut, size_t i, int anyhow)
{
    size_t j = i + 1, most = (size_t)cut->vocab->width, length;

    for (size_t k = 0; cut->control && k < cut->control->n; k++)
        most = strlen(cut->control->item[k]) > most ? strlen(cut->control->item[k]) : most;
    while (j < cut->n && (joined(cut, i, j + 1, &length), length <= most))
        j++;
    for (; j > i; j--)
        if ((anyhow || cut->rest[j]) && find(cut, i, j) >= 0)
            return j;
    return i;
}

int64_t tess_combination_tidy(int64_t control, int64_t n, int64_t *member)
{
    int64_t at;

    n = tess_set_tidy(n, member);
    at = n > 1 ? tess_set_place(n, member, control) : -1;
    if (at < 0)
        return n;
    memmove(member + at, member + at + 1, (size_t)(n - at - 1) * sizeof *member);
    return n - 1;
}

/* The members of a text that could be cut; 0 if only a control is left that the vocabulary lacks.
 */
static int tidy(const struct tess_vocab *perturbation, int n, int64_t *member)
{
    int64_t control = tess_vocab_find(perturbation, TESS_CONTROL);

    n = (int)tess_combination_tidy(control < 0 ? ABSENT : control, n, member);
    return n == 1 && member[0] == ABSENT ? 0 : n;
}

static void report(const struct cut *cut, struct tess_strings *unknown)
{
    for (size_t i = 0, j; i < cut->n; i = j) {
        j = longest(cut, i, 1);
        if (j == i) {
            size_t length;
            const char *name = joined(cut, i, i + 1, &length);
            char *part = tess_format("%.*s", (int)length, name);

            tess_strings_add(unknown, part);
            tess_free(part);
            j = i + 1;
        }
    }
}

/* First from the right: rest[i] says whether pieces i … can be read as known symbols. Then from the
 * left, each time the longest symbol after which the rest can be read: no step is taken back, and a
 * text of n pluses costs at most n² / 2 searches each way. */
int tess_combination_parse(const struct tess_vocab *perturbation,
                           const struct tess_strings *control, const char *text, int64_t *member,
                           struct tess_strings *unknown)
{
    size_t before = unknown ? unknown->n : 0;
    struct cut cut;
    int n = 0;

    cut_init(&cut, perturbation, control, text);
    cut.rest[cut.n] = 1;
    for (size_t i = cut.n; i-- > 0;)
        cut.rest[i] = longest(&cut, i, 0) > i;
    if (cut.rest[0]) {
        for (size_t i = 0, j; i < cut.n; i = j) {
            j = longest(&cut, i, 0);
            member[n++] = find(&cut, i, j);
        }
        n = tidy(perturbation, n, member);
    }
    if (n == 0 && unknown)
        report(&cut, unknown);
    if (n == 0 && unknown && unknown->n == before)
        tess_strings_add(unknown, text);
    tess_free(cut.begin);
    tess_free(cut.rest);
    return n;
}
