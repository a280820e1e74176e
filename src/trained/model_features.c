/* model_features.c -- what a model knows of symbols from elsewhere, for who numbers them otherwise.
 */
#include "tessera/model.h"

#include "tessera/alloc.h"
#include "tessera/vocab.h"

void tess_model_features(const struct tess_model *model, const struct tess_vocab *components,
                         struct tess_features *features)
{
    const struct tess_features *own = &model->features[TESS_TABLE_P];

    *features = (struct tess_features){components->n, own->k, NULL, own->name, own->named};
    if (own->k == 0)
        return;
    features->value = TESS_NEW(float, components->n * own->k);
    for (int64_t i = 0; i < components->n; i++) {
        int64_t at = tess_vocab_find(&model->perturbation, components->symbol[i]);

        for (int64_t j = 0; j < own->k; j++)
            features->value[i * own->k + j] = at < 0 ? NAN : own->value[at * own->k + j];
    }
}
