/* impute_marks.c -- what the store says of the rows: which it measured, and what of them was
 * trained on. Sorted numbers of what there is, as many as the store has experiments: of 10⁸ rows
 * hardly any was measured. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <stdlib.h>

static void add(struct imputation_keys *keys, int64_t key)
{
    keys->key = tess_grow(keys->key, &keys->room, (size_t)(keys->n + 1), sizeof *keys->key);
    keys->key[keys->n++] = key;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void sort(struct imputation_keys *keys)
{
    int64_t n = 0;

    if (keys->n > 0)
        qsort(keys->key, (size_t)keys->n, sizeof *keys->key, compare);
    for (int64_t i = 0; i < keys->n; i++)
        if (i == 0 || keys->key[i] != keys->key[i - 1])
            keys->key[n++] = keys->key[i];
    keys->n = n;
}

int tess_imputation_has(const struct imputation_keys *keys, int64_t key)
{
    return keys->n > 0 && bsearch(&key, keys->key, (size_t)keys->n, sizeof key, compare) != NULL;
}

/* The store's experiments by the model's numbers. */
struct translation {
    int64_t *set; /* (n_combinations) of the chosen perturbations; -1 */
    struct tess_mapping context; /* place among the chosen; -1 */
};

static void translate(struct translation *to, struct imputation *work,
                      const struct tess_index *index)
{
    to->set = TESS_NEW(int64_t, index->n_combinations);
    for (int64_t i = 0; i < index->n_combinations; i++) {
        int64_t n = index->combination_first[i + 1] - index->combination_first[i];
        int64_t *member = TESS_NEW(int64_t, n);

        n = tess_mapping_translate(&work->component, n,
                                   index->combination_member + index->combination_first[i], member);
        to->set[i] = n < 0 ? -1 : tess_imputation_find_set(work, n, member);
        tess_free(member);
    }
    tess_mapping_init(&to->context, &index->context, &work->model.context, NULL);
    for (int64_t c = 0; c < to->context.n; c++)
        if (to->context.to[c] >= 0)
            to->context.to[c] = tess_sets_find(&work->context, 1, &to->context.to[c]);
}

static void mark_trained(struct imputation *work, const struct tess_index *index, int64_t e,
                         const struct translation *to)
{
    struct imputation_marks *marks = &work->marks;
    int64_t combination = index->combination[e], place = to->context.to[index->context_of[e]];

    if (to->set[combination] >= 0)
        add(&marks->set, to->set[combination]);
    if (place >= 0)
        add(&marks->context, place);
    for (int64_t k = index->combination_first[combination];
         k < index->combination_first[combination + 1]; k++) {
        int64_t component = work->component.to[index->combination_member[k]];

        if (component >= 0)
            add(&marks->component, component);
        if (component >= 0 && place >= 0)
            add(&marks->component_here, place * work->model.perturbation.n + component);
    }
}

void tess_imputation_mark(struct imputation *work, const struct tess_store *store)
{
    const struct tess_index *index = &store->index;
    struct imputation_marks *marks = &work->marks;
    int64_t n_sets = tess_imputation_n_sets(work);
    struct translation to;

    marks->known = 1;
    translate(&to, work, index);
    for (int64_t e = 0; e < index->n_experiments; e++) {
        int64_t set = to.set[index->combination[e]], place = to.context.to[index->context_of[e]];
        int trained = index->split[e] == TESS_TRAIN;

        if (set >= 0 && place >= 0) {
            add(&marks->observed, place * n_sets + set);
            if (trained)
                add(&marks->trained, place * n_sets + set);
        }
        if (trained)
            mark_trained(work, index, e, &to);
    }
    for (struct imputation_keys *const *keys =
             (struct imputation_keys *const[]){&marks->observed, &marks->trained, &marks->set,
                                               &marks->component, &marks->context,
                                               &marks->component_here, NULL};
         *keys; keys++)
        sort(*keys);
    tess_mapping_release(&to.context);
    tess_free(to.set);
}

void tess_imputation_marks_release(struct imputation_marks *marks)
{
    tess_free(marks->observed.key);
    tess_free(marks->trained.key);
    tess_free(marks->set.key);
    tess_free(marks->component.key);
    tess_free(marks->context.key);
    tess_free(marks->component_here.key);
    *marks = (struct imputation_marks){0};
}
