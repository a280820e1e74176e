/* warm_new.c -- which symbols are new, and steps that take only experiments which have one. */
#include "tessera/warm.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/trainer.h"

#include <string.h>

/* What the model was trained on counts as trained here, whatever this store has of it. */
void tess_warm_mark(const struct tess_warm *warm, struct tess_trainer *trainer)
{
    struct tess_state mine = tess_trainer_state(trainer);

    for (int t = 0; t < TESS_N_TABLES; t++)
        for (int64_t i = 0; i < warm->n_symbols[t]; i++) {
            int64_t there = warm->to[t].to[i];
            int trained = there >= 0 && warm->state.trained[t][there] != TESS_BY_PARTS;
            uint8_t *flag = &mine.trained[t][i];

            if (!trained && *flag == TESS_TRAINED)
                *flag = TESS_TRAINED_NEW;
            else if (there >= 0 && *flag != TESS_TRAINED)
                *flag = trained ? TESS_TRAINED : TESS_BY_PARTS;
        }
}

/* Is any of these numbers' symbols new? */
static int any_new(const uint8_t *trained, int64_t n, const int64_t *number)
{
    for (int64_t k = 0; k < n; k++)
        if (trained[number[k]] == TESS_TRAINED_NEW)
            return 1;
    return 0;
}

static int has_new(const struct tess_dataset *dataset, int64_t e)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t q = index->combination[e], p = index->panel[e];

    return any_new(dataset->trained_context, 1, &index->context_of[e]) ||
           any_new(dataset->trained_perturbation,
                   index->combination_first[q + 1] - index->combination_first[q],
                   index->combination_member + index->combination_first[q]) ||
           any_new(dataset->trained_readout, tess_dataset_width(dataset, p),
                   dataset->panel_readout + dataset->panel_first[p]);
}

int tess_warm_narrow(struct tess_trainer *trainer, struct tess_error *error)
{
    struct tess_index *index = &trainer->store.index;
    int64_t all = 0, left = 0;

    for (int64_t e = 0; e < index->n_experiments; e++) {
        if (index->split[e] != TESS_TRAIN)
            continue;
        all++;
        if (has_new(&trainer->dataset, e))
            left++;
        else
            index->split[e] = TESS_UNUSED;
    }
    if (left == 0)
        return tess_error_set(
            error, TESS_ECONFIG,
            "train.experiments is new, but %s has none that trains a context, "
            "perturbation or readout which the model of train.init was not trained "
            "on: set train.experiments: all",
            trainer->store.h5.path);
    trainer->dataset.n_training = left;
    tess_info("train.experiments: new: %lld of %lld training experiments have what is new",
              (long long)left, (long long)all);
    tess_schedule_release(&trainer->schedule);
    tess_schedule_init(&trainer->schedule, &trainer->config, &trainer->dataset);
    tess_lanes_release(&trainer->lanes);
    return tess_lanes_init(&trainer->lanes, trainer->comm, tess_int(trainer->schedule.lanes),
                           error);
}
