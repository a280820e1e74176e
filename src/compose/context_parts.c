/* context_parts.c -- contexts whose names are parts joined by _, as `import --context cell,time`
 * makes them: the vector of A549_24h is that of A549 in the first place, plus that of 24h in the
 * second, plus its own. A context without training data has no own part (its row stays 0), and is
 * the sum of parts that others have trained. */
#include "context_parts.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"
#include "tessera/intern.h"
#include "tessera/text.h"

#include <math.h>
#include <string.h>

#define SEPARATOR '_'
#define OWN       0.3f /* weight of the own row: what is common is learned by the parts first */

/* The parts of all names, one after the other: each name has as many. */
static int split_names(const struct tess_vocab *symbols, const char *where,
                       struct tess_strings *parts, struct tess_error *error)
{
    size_t each = 0;

    for (int64_t i = 0; i < symbols->n; i++) {
        size_t before = parts->n;

        tess_strings_split(parts, symbols->symbol[i], SEPARATOR);
        if (i > 0 && parts->n - before != each)
            return tess_error_set(error, TESS_EDATA,
                                  "%s: context '%s' has %zu parts joined by _ and '%s' has %zu: "
                                  "with model.context_parts all must have as many; rename them, or "
                                  "leave model.context_parts at false",
                                  where, symbols->symbol[0], each, symbols->symbol[i],
                                  parts->n - before);
        each = parts->n - before;
    }
    if (each < 2)
        return tess_error_set(error, TESS_EDATA,
                              "%s: contexts such as '%s' are not made of parts joined by _: leave "
                              "model.context_parts at false",
                              where, symbols->n ? symbols->symbol[0] : "");
    return TESS_OK;
}

/* Names of the parts, "1:A549", each once, as a vocabulary. */
static void name_parts(struct tess_vocab *vocab, const struct tess_strings *parts, size_t each,
                       int64_t *number)
{
    struct tess_intern names = {0};
    int64_t *order, *place;

    for (size_t k = 0; k < parts->n; k++) {
        char *name = tess_format("%zu:%s", k % each + 1, parts->item[k]);

        number[k] = tess_intern_add(&names, name, strlen(name));
        tess_free(name);
    }
    order = TESS_NEW(int64_t, names.n);
    place = TESS_NEW(int64_t, names.n);
    tess_vocab_init(vocab, names.n, (const char *const *)names.text, order);
    for (int64_t i = 0; i < names.n; i++)
        place[order[i]] = i;
    for (size_t k = 0; k < parts->n; k++)
        number[k] = place[number[k]];
    tess_free(order);
    tess_free(place);
    tess_intern_release(&names);
}

/* The parts begin as long vectors as the sum of them is to be, the own row at 0. */
static void fill(struct tess_composition *composition, int64_t each, const int64_t *number)
{
    int64_t n = composition->n;

    composition->n_rows = n + composition->part.n;
    composition->first = TESS_NEW(int64_t, n + 1);
    composition->row = TESS_NEW(int64_t, n * (each + 1));
    composition->weight = TESS_NEW(float, n *(each + 1));
    composition->start = TESS_NEW(float, composition->n_rows);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i * (each + 1);

        composition->first[i + 1] = at + each + 1;
        composition->row[at] = i;
        for (int64_t k = 0; k < each; k++)
            composition->row[at + 1 + k] = n + number[i * each + k];
        for (int64_t k = 0; k <= each; k++)
            composition->weight[at + k] = k ? 1 : OWN;
    }
    for (int64_t r = n; r < composition->n_rows; r++)
        composition->start[r] = (float)(1 / sqrt((double)each));
}

int tess_context_parts(struct tess_composition *composition, const struct tess_config *config,
                       const struct tess_vocab *symbols, const char *where,
                       struct tess_error *error)
{
    struct tess_strings parts = {0};
    int64_t *number;

    if (!config->model.context_parts)
        return TESS_OK;
    if (split_names(symbols, where, &parts, error) == TESS_OK) {
        size_t each = parts.n / (size_t)symbols->n;

        number = TESS_NEW(int64_t, parts.n);
        name_parts(&composition->part, &parts, each, number);
        fill(composition, (int64_t)each, number);
        tess_free(number);
    }
    tess_strings_release(&parts);
    return error->code;
}

char *tess_context_parts_role(const char *part)
{
    return tess_format("%.*s", (int)strcspn(part, ":") + 1, part);
}

void tess_context_parts_make(const struct tess_composition *composition, const char *symbol,
                             struct tess_terms *terms)
{
    int64_t own = composition->n_rows - composition->part.n;
    int64_t each = composition->first[1] - composition->first[0] - 1;
    struct tess_strings part = {0};
    int known;

    tess_strings_split(&part, symbol, SEPARATOR);
    known = (int64_t)part.n == each && each <= TESS_TERMS;
    for (size_t k = 0; known && k < part.n; k++) {
        char *name = tess_format("%zu:%s", k + 1, part.item[k]);
        int64_t number = tess_vocab_find(&composition->part, name);

        known = number >= 0;
        terms->row[k] = own + number;
        terms->weight[k] = 1;
        tess_free(name);
    }
    terms->n = known ? (int)part.n : 0;
    tess_strings_release(&part);
}
