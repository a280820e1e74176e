/* choice.c -- a model's symbols, and those that it makes. */
#include "tessera/choice.h"

#define REMEDY                                                                                     \
    " (without data a perturbation can be asked for if the file of features.perturbations has a "  \
    "row for it when the model is trained)"

static int64_t make_perturbation(void *closure, const char *symbol)
{
    return tess_model_make(closure, TESS_TABLE_P, symbol);
}

static int64_t make_context(void *closure, const char *symbol)
{
    return tess_model_make(closure, TESS_TABLE_C, symbol);
}

struct tess_choice tess_choice_of(const struct tess_model *model, enum tess_embedding table)
{
    void *closure = (void *)(uintptr_t)model;

    if (table == TESS_TABLE_P)
        return (struct tess_choice){&model->perturbation,
                                    model->trained_perturbation,
                                    "perturbation",
                                    model->path,
                                    1,
                                    {closure, make_perturbation},
                                    REMEDY};
    if (table == TESS_TABLE_R)
        return (struct tess_choice){
            &model->readout, model->trained_readout, "readout", model->path, 0, {0}, NULL};
    return (struct tess_choice){&model->context,
                                model->trained_context,
                                "context",
                                model->path,
                                0,
                                {closure, make_context},
                                NULL};
}
