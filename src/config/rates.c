/* rates.c -- train.freeze and the factors of the learning rate, by part. */
#include "tessera/rates.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"

#include <string.h>

static const char *const parts[TESS_N_PARTS] = {"perturbations", "readouts", "contexts", "network"};

/* The part of that name, -1: there is none. */
static int part_of(const char *name)
{
    for (int p = 0; p < TESS_N_PARTS; p++)
        if (strcmp(parts[p], name) == 0)
            return p;
    return -1;
}

/* frozen[part] = 1 for what train.freeze names. The first name that is no part; own, or NULL. */
static char *read_freeze(const struct tess_config *config, int frozen[TESS_N_PARTS])
{
    struct tess_strings names = {0};
    char *wrong = NULL;

    tess_strings_split(&names, config->train.freeze, ',');
    for (size_t i = 0; i < names.n && !wrong; i++) {
        char *name = tess_text_trimmed(names.item[i]);
        int part = part_of(name);

        if (part >= 0)
            frozen[part] = 1;
        if (part < 0)
            wrong = name;
        else
            tess_free(name);
    }
    tess_strings_release(&names);
    return wrong;
}

double tess_rates_factor(const struct tess_config *config, int part)
{
    const double factor[TESS_N_PARTS] = {config->train.rate_perturbations,
                                         config->train.rate_readouts, config->train.rate_contexts,
                                         config->train.rate_network};
    int frozen[TESS_N_PARTS] = {0};

    tess_free(read_freeze(config, frozen));
    return frozen[part] ? 0 : factor[part];
}

int tess_rates_check(const struct tess_config *config, struct tess_error *error)
{
    int frozen[TESS_N_PARTS] = {0}, moving = 0;
    char *wrong = read_freeze(config, frozen);
    double decay = config->train.learning_rate * config->train.weight_decay;

    if (wrong)
        tess_error_set(error, TESS_ECONFIG,
                       "train.freeze: '%.80s' is no part of a model: name any of perturbations, "
                       "readouts, contexts, network, with commas between them",
                       wrong);
    for (int p = 0; p < TESS_N_PARTS && error->code == TESS_OK; p++) {
        double factor = tess_rates_factor(config, p);

        moving += factor > 0;
        if (factor > 1 && factor * decay >= 1)
            tess_error_set(error, TESS_ECONFIG,
                           "train.learning_rate x train.rate_%s x train.weight_decay is %g: a step "
                           "would decay these parameters to nothing or beyond; it must be below 1",
                           parts[p], factor * decay);
    }
    if (error->code == TESS_OK && moving == 0)
        tess_error_set(error, TESS_ECONFIG,
                       "train.freeze and the factors train.rate_* leave nothing that learns: "
                       "perturbations, readouts, contexts and network are all frozen");
    tess_free(wrong);
    return error->code;
}
