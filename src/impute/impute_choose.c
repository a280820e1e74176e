/* impute_choose.c -- which perturbations, readouts and contexts: lists, all pairs, files of pairs.
 */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <string.h>

/* Names, and the store's combinations if they are asked for. */
static int choose_perturbations(struct imputation *work, const struct tess_store *store,
                                struct tess_error *error)
{
    const struct tess_strings *given = &work->impute->perturbation;
    struct tess_choice choice = tess_imputation_choice(work, TESS_TABLE_P);
    struct tess_strings names = {0};
    int combinations = 0;

    for (size_t i = 0; i < given->n; i++)
        if (strcmp(given->item[i], TESS_IMPUTE_COMBINATIONS) == 0)
            combinations = 1;
        else
            tess_strings_add(&names, given->item[i]);
    if (combinations && store)
        tess_imputation_add_combinations(work, store);
    if (combinations && names.n == 0) {
        tess_sets_sort(&work->perturbation, NULL);
        if (work->perturbation.n == 0)
            tess_error_set(error, TESS_EDATA, "%s: its training data hold no combinations",
                           work->model.path);
    } else
        tess_select(&choice, &names, &work->perturbation, error);
    tess_strings_release(&names);
    return error->code;
}

/* All pairs of the chosen ones, which stay what they are: a pair is known by its number alone.
 * Control is no part of a pair. */
static int choose_all_pairs(struct imputation *work, struct tess_error *error)
{
    struct tess_sets *chosen = &work->perturbation, single = {0};
    int64_t control = tess_vocab_find(&work->model.perturbation, TESS_CONTROL);

    for (int64_t i = 0; i < chosen->n && error->code == TESS_OK; i++) {
        const int64_t *member = chosen->member + chosen->first[i];

        if (chosen->first[i + 1] - chosen->first[i] > 1)
            tess_error_set(error, TESS_EUSAGE,
                           "--pairs all: pairs are of single perturbations, and %s+%s is a "
                           "combination: leave it out",
                           work->model.perturbation.symbol[member[0]],
                           work->model.perturbation.symbol[member[1]]);
        else if (member[0] != control)
            tess_sets_add(&single, 1, member);
    }
    tess_sets_release(chosen);
    *chosen = single;
    work->rows.pairs = 1;
    if (error->code == TESS_OK && chosen->n < 2)
        tess_error_set(error, TESS_EUSAGE,
                       "--pairs all: there are no two perturbations beside control to make a pair "
                       "of: choose more with --perturbations");
    else if (error->code == TESS_OK && tess_imputation_n_sets(work) > INT32_MAX)
        tess_error_set(error, TESS_EUSAGE,
                       "--pairs all: %lld perturbations make %lld pairs, and a file may have "
                       "%d at most: choose fewer with --perturbations",
                       (long long)chosen->n, (long long)tess_imputation_n_sets(work), INT32_MAX);
    return error->code;
}

int tess_imputation_choose(struct imputation *work, const struct tess_store *store,
                           struct tess_error *error)
{
    const struct tess_impute *impute = work->impute;
    struct tess_choice perturbation = tess_imputation_choice(work, TESS_TABLE_P),
                       context = tess_imputation_choice(work, TESS_TABLE_C),
                       readout = tess_imputation_choice(work, TESS_TABLE_R);

    if (impute->triples)
        tess_imputation_read_triples(work, impute->triples, error);
    else if (impute->pairs && strcmp(impute->pairs, TESS_IMPUTE_ALL) != 0)
        tess_select_pairs(&perturbation, impute->pairs, &work->perturbation, error);
    else if (choose_perturbations(work, store, error) == TESS_OK && impute->pairs)
        choose_all_pairs(work, error);
    if (error->code == TESS_OK && !impute->triples)
        tess_select(&context, &impute->context, &work->context, error);
    if (error->code == TESS_OK && !impute->triples)
        tess_select(&readout, &impute->readout, &work->readout, error);
    return error->code;
}
