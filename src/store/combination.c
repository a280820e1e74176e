/* combination.c -- "A+B+…" against a vocabulary whose symbols may hold pluses of their own. */
#include "tessera/store.h"

#include "tessera/alloc.h"
#include "tessera/text.h"

#include <stdlib.h>
#include <string.h>

/* The text cut at its pluses: piece i ends before plus i; `rest[i]`: can pieces i … n-1 be read as
 * known symbols? */
struct cut {
    const char *text;
    size_t n;
    size_t *begin; /* (n + 1); piece i is [begin[i], begin[i + 1] - 1) */
    char *rest;    /* (n + 1) */
};

static void cut_init(struct cut *cut, const char *text)
{
    size_t n = 1, at = 0;

    for (const char *c = text; *c; c++)
        n += *c == '+';
    *cut = (struct cut){text, n, TESS_NEW(size_t, n + 1), TESS_NEW(char, n + 1)};
    for (size_t i = 0; text[i]; i++)
        if (text[i] == '+')
            cut->begin[++at] = i + 1;
    cut->begin[n] = strlen(text) + 1;
}

/* The number of pieces [i, j) joined, or -1. */
static int64_t find(const struct cut *cut, const struct tess_vocab *vocab, size_t i, size_t j)
{
    size_t length = cut->begin[j] - 1 - cut->begin[i];

    if (length > (size_t)vocab->width)
        return -1;
    return tess_vocab_find_n(vocab, cut->text + cut->begin[i], length);
}

/* The longest known symbol at piece i after which the rest can be read (or any, if `anyhow`). */
static size_t longest(const struct cut *cut, const struct tess_vocab *vocab, size_t i, int anyhow)
{
    size_t j = i + 1;

    while (j < cut->n && cut->begin[j + 1] - 1 - cut->begin[i] <= (size_t)vocab->width)
        j++;
    for (; j > i; j--)
        if ((anyhow || cut->rest[j]) && find(cut, vocab, i, j) >= 0)
            return j;
    return i;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* Ascending, repeats and controls beside others dropped. */
static int tidy(const struct tess_vocab *perturbation, int64_t *member, int n)
{
    int64_t control = tess_vocab_find(perturbation, TESS_CONTROL);
    int kept = 0;

    qsort(member, (size_t)n, sizeof *member, compare);
    for (int i = 0; i < n; i++)
        if ((kept == 0 || member[kept - 1] != member[i]))
            member[kept++] = member[i];
    n = kept;
    for (int i = kept = 0; i < n; i++)
        if (n == 1 || member[i] != control)
            member[kept++] = member[i];
    return kept;
}

static void report(const struct cut *cut, const struct tess_vocab *vocab,
                   struct tess_strings *unknown)
{
    for (size_t i = 0, j; i < cut->n; i = j) {
        j = longest(cut, vocab, i, 1);
        if (j == i) {
            char *part = tess_format("%.*s", (int)(cut->begin[i + 1] - 1 - cut->begin[i]),
                                     cut->text + cut->begin[i]);

            tess_strings_add(unknown, part);
            tess_free(part);
            j = i + 1;
        }
    }
}

int tess_combination_parse(const struct tess_vocab *perturbation, const char *text, int64_t *member,
                           struct tess_strings *unknown)
{
    struct cut cut;
    int n = 0;

    cut_init(&cut, text);
    cut.rest[cut.n] = 1;
    for (size_t i = cut.n; i-- > 0;)
        cut.rest[i] = longest(&cut, perturbation, i, 0) > i;
    if (cut.rest[0]) {
        for (size_t i = 0, j; i < cut.n; i = j) {
            j = longest(&cut, perturbation, i, 0);
            member[n++] = find(&cut, perturbation, i, j);
        }
        n = tidy(perturbation, member, n);
    } else if (unknown)
        report(&cut, perturbation, unknown);
    tess_free(cut.begin);
    tess_free(cut.rest);
    return n;
}
