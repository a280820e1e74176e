/* known.c -- by what a model knows a symbol, a row. */
#include "tessera/known.h"

#include "tessera/model.h"

const char *const tess_known_names[TESS_KNOWN_WAYS] = {"data", "parts", "features", "name"};

int tess_known_differs(const struct tess_model *model)
{
    for (int t = 0; t < TESS_N_TABLES; t++)
        if (model->composition[t].first)
            return 1;
    return 0;
}

/* Is there an axis of features among what it is made of? */
static int has_axes(const struct tess_model *model, enum tess_embedding table, int64_t symbol)
{
    const struct tess_composition *composition = &model->composition[table];
    int64_t axes = composition->n_rows - model->features[table].k;
    int any = 0;

    for (int64_t k = composition->first[symbol]; k < composition->first[symbol + 1]; k++)
        any |= composition->row[k] >= axes;
    return any;
}

enum tess_known tess_known_symbol(const struct tess_model *model, enum tess_embedding table,
                                  int64_t symbol)
{
    const uint8_t *trained[] = {model->trained_perturbation, model->trained_readout,
                                model->trained_context};
    const int64_t n[] = {model->perturbation.n, model->readout.n, model->context.n};
    uint8_t flag;

    if (symbol >= n[table]) /* made of features or parts (tess_model_make) */
        return has_axes(model, table, symbol) ? TESS_KNOWN_FEATURES : TESS_KNOWN_PARTS;
    flag = trained[table][symbol];
    if (flag == TESS_UNTRAINED)
        return TESS_KNOWN_NAME;
    if (flag != TESS_BY_PARTS)
        return TESS_KNOWN_DATA;
    return tess_features_has(&model->features[table], symbol) ? TESS_KNOWN_FEATURES
                                                              : TESS_KNOWN_PARTS;
}

enum tess_known tess_known_row(const struct tess_model *model, int64_t n, const int64_t *member,
                               int64_t context)
{
    enum tess_known least = TESS_KNOWN_DATA, one;

    if (context >= 0)
        least = tess_known_symbol(model, TESS_TABLE_C, context);
    for (int64_t k = 0; k < n; k++) {
        one = tess_known_symbol(model, TESS_TABLE_P, member[k]);
        least = one > least ? one : least;
    }
    return least;
}

int tess_known_has_deviation(const struct tess_model *model, int64_t n, const int64_t *member,
                             int64_t context)
{
    return n == 1 && tess_known_row(model, n, member, -1) == TESS_KNOWN_FEATURES &&
           tess_known_symbol(model, TESS_TABLE_C, context) == TESS_KNOWN_DATA;
}
