/* checkpoint_settle.c -- what a trained model has where settings leave it to the program. */
#include "tessera/checkpoint.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/rundir.h"
#include "tessera/text.h"

int tess_checkpoint_is_settled(const struct tess_config *config)
{
    return config->model.kind != TESS_KIND_AUTO && config->model.combination != TESS_COMBINE_AUTO &&
           config->train.sampling != TESS_SAMPLING_AUTO;
}

static void settle(int64_t *asked, int64_t has, int64_t automatic)
{
    if (*asked == automatic)
        *asked = has;
}

void tess_checkpoint_settle(struct tess_config *config, const struct tess_config *model)
{
    settle(&config->model.kind, model->model.kind, TESS_KIND_AUTO);
    settle(&config->model.combination, model->model.combination, TESS_COMBINE_AUTO);
    settle(&config->train.sampling, model->train.sampling, TESS_SAMPLING_AUTO);
}

/* Whoever goes on with the model verifies the file and compares what is in it again. */
int tess_checkpoint_find_head(const char *path, struct tess_state *state)
{
    struct tess_strings candidate = {0};
    struct tess_error none = TESS_ERROR_INIT;
    char *store = NULL;
    int found = 0;

    *state = (struct tess_state){.version = 0};
    tess_rundir_find(path, &candidate, &store, &none);
    for (size_t i = 0; i < candidate.n && !found; i++) {
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_h5 h5 = TESS_H5_INIT;

        tess_state_release(state);
        tess_h5_guard_start(candidate.item[i]);
        found = tess_h5_open(&h5, candidate.item[i], MPI_COMM_NULL, 0, &error) == TESS_OK &&
                tess_checkpoint_read_head(&h5, state, &error) == TESS_OK;
        tess_h5_close(&h5, &error);
        tess_h5_guard_finish();
    }
    tess_strings_release(&candidate);
    tess_free(store);
    return found;
}
