/* index.c -- the index of a store: what follows from its arrays, and whether they make sense. */
#include "index_fields.h"

#include "tessera/alloc.h"
#include "tessera/combination.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <math.h>
#include <string.h>

static int64_t panel_length(const struct tess_index *index, int64_t experiment)
{
    int64_t panel = index->panel[experiment];

    return index->panel_first[panel + 1] - index->panel_first[panel];
}

void tess_index_finish(struct tess_index *index)
{
    int64_t n = index->n_experiments, n_folds = index->fold_first[n];

    tess_free(index->value_first);
    tess_free(index->fold_value_first);
    index->value_first = TESS_NEW(int64_t, n + 1);
    index->fold_value_first = TESS_NEW(int64_t, n_folds + 1);
    for (int64_t i = 0; i < n; i++) {
        int64_t length = panel_length(index, i);

        index->value_first[i + 1] = index->value_first[i] + length;
        for (int64_t k = index->fold_first[i]; k < index->fold_first[i + 1]; k++)
            index->fold_value_first[k + 1] = index->fold_value_first[k] + length;
    }
    index->control = tess_vocab_find(&index->perturbation, TESS_CONTROL);
    index->split_hash = tess_index_split_hash(index);
}

void tess_index_keep_context(struct tess_index *index, int64_t context)
{
    for (int64_t e = 0; e < index->n_experiments; e++)
        if (index->context_of[e] != context)
            index->split[e] = TESS_UNUSED;
    index->split_hash = tess_index_split_hash(index);
}

static int damaged(const char *path, const char *what, int64_t at, struct tess_error *error)
{
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s, entry %lld: out of range or out of order: the store is damaged; "
                          "import it again",
                          path, what, (long long)at);
}

/* first[0] = 0, then each entry at least `least` and at most `most` above the one before it: -1, or
 * the first that is not. */
static int64_t bad_first(const int64_t *first, int64_t n, int64_t least, int64_t most)
{
    if (first[0] != 0)
        return 0;
    for (int64_t i = 0; i < n; i++)
        if (first[i + 1] < first[i] || first[i + 1] - first[i] < least ||
            first[i + 1] - first[i] > most)
            return i + 1;
    return -1;
}

/* Lists of numbers in [0, limit), ascending within a list, lists strictly in lexicographic order.
 */
static int64_t bad_lists(const int64_t *first, int64_t n, const int64_t *item, int64_t limit)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t begin = first[i], length = first[i + 1] - begin, before = i > 0 ? first[i - 1] : 0;

        for (int64_t j = begin; j < first[i + 1]; j++)
            if (item[j] < 0 || item[j] >= limit || (j > begin && item[j] <= item[j - 1]))
                return i;
        if (i > 0 && tess_set_compare(begin - before, item + before, length, item + begin) >= 0)
            return i;
    }
    return -1;
}

/* Numbers and counts in range, folds that add up to the replicates, and the order by (context,
 * panel, combination): one lane is then one stretch of values. What follows in the order (split,
 * replicate) is free: `tessera split` may change it. */
static int bad_experiment(const struct tess_index *index, int64_t i)
{
    const int64_t *context = index->context_of, *panel = index->panel,
                  *combination = index->combination;
    int64_t folds = index->fold_first[i + 1] - index->fold_first[i], replicates = 0;

    if (context[i] < 0 || context[i] >= index->context.n || panel[i] < 0 ||
        panel[i] >= index->n_panels || combination[i] < 0 ||
        combination[i] >= index->n_combinations || index->split[i] < TESS_TRAIN ||
        index->split[i] > TESS_UNUSED || index->n_replicates[i] < 1 || index->n_observed[i] < 0 ||
        index->n_observed[i] > panel_length(index, i) || folds > TESS_STORE_FOLDS || folds == 1)
        return 1;
    if (index->weight && !(index->weight[i] >= 0 && isfinite(index->weight[i])))
        return 1;
    for (int64_t k = index->fold_first[i]; k < index->fold_first[i + 1]; k++) {
        if (index->fold_replicates[k] < 1 || index->fold_replicates[k] > index->n_replicates[i])
            return 1;
        replicates += index->fold_replicates[k];
    }
    if ((folds && replicates != index->n_replicates[i]))
        return 1;
    if (i == 0 || context[i] != context[i - 1])
        return i > 0 && context[i] < context[i - 1];
    if (panel[i] != panel[i - 1])
        return panel[i] < panel[i - 1];
    return combination[i] < combination[i - 1];
}

/* In this order: each check indexes only by what the ones before it have found to be in range. */
int tess_index_check(const struct tess_index *index, const char *path, struct tess_error *error)
{
    int64_t at;

    for (int i = 0; i < TESS_N_VOCABS; i++)
        if (tess_index_field_vocab(index, i)->n > 0 &&
            !tess_index_field_vocab(index, i)->symbol[0][0])
            return damaged(path, tess_vocab_names[i], 0, error);
    if ((at = bad_first(index->combination_first, index->n_combinations, 1, INT64_MAX)) >= 0)
        return damaged(path, "/combination/first", at, error);
    if ((at = bad_lists(index->combination_first, index->n_combinations, index->combination_member,
                        index->perturbation.n)) >= 0)
        return damaged(path, "/combination/member", at, error);
    if ((at = bad_first(index->panel_first, index->n_panels, 1, INT64_MAX)) >= 0)
        return damaged(path, "/panel/first", at, error);
    if ((at = bad_lists(index->panel_first, index->n_panels, index->panel_readout,
                        index->readout.n)) >= 0)
        return damaged(path, "/panel/readout", at, error);
    if ((at = bad_first(index->fold_first, index->n_experiments, 0, TESS_STORE_FOLDS)) >= 0)
        return damaged(path, "/fold/first", at, error);
    for (int64_t i = 0; i < index->n_experiments; i++)
        if (bad_experiment(index, i))
            return damaged(path, "/experiment", i, error);
    return TESS_OK;
}

void tess_index_release(struct tess_index *index)
{
    for (int i = 0; i < TESS_N_VOCABS; i++)
        tess_vocab_release(tess_index_field_vocab(index, i));
    for (int i = 0; i < TESS_N_FIELDS; i++)
        tess_free(*tess_index_field_array(index, i));
    tess_free(index->value_first);
    tess_free(index->fold_value_first);
    *index = (struct tess_index){.control = -1};
}

struct tess_sets tess_index_combinations(const struct tess_index *index)
{
    return (struct tess_sets){.n = index->n_combinations,
                              .first = index->combination_first,
                              .member = index->combination_member};
}

char *tess_index_combination_name(const struct tess_index *index, int64_t combination)
{
    struct tess_sets combinations = tess_index_combinations(index);

    return tess_sets_name(&combinations, combination, &index->perturbation);
}

int64_t tess_index_find(const struct tess_index *index, int64_t n, const int64_t *member)
{
    struct tess_sets combinations = tess_index_combinations(index);

    return tess_sets_find(&combinations, n, member);
}

int64_t tess_index_find_text(const struct tess_index *index, const struct tess_strings *control,
                             const char *text, struct tess_strings *unknown)
{
    int64_t room = 1, *member, found;
    int n;

    for (const char *c = text; *c; c++)
        room += *c == '+';
    member = TESS_NEW(int64_t, room);
    n = tess_combination_parse(&index->perturbation, control, text, member, unknown);
    found = n > 0 ? tess_index_find(index, n, member) : -1;
    tess_free(member);
    return found;
}

int tess_index_is_control(const struct tess_index *index, int64_t combination)
{
    int64_t first = index->combination_first[combination];

    return index->control >= 0 && index->combination_first[combination + 1] == first + 1 &&
           index->combination_member[first] == index->control;
}

int64_t tess_index_observed(const struct tess_index *index, int split)
{
    int64_t n = 0;

    for (int64_t i = 0; i < index->n_experiments; i++)
        n += split < 0 || index->split[i] == split ? index->n_observed[i] : 0;
    return n;
}
