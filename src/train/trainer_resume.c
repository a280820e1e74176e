/* trainer_resume.c -- taking over a checkpoint's state, on whatever number of ranks. */
#include "tessera/trainer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/log.h"
#include "tessera/platform.h"
#include "tessera/text.h"

#include <string.h>
#include <strings.h>

/* Numeric settings that a resumed run may change; they take effect from the resumed step on. */
static const char *const may_change[] = {
    "train.epochs", "train.learning_rate", "train.schedule",
    "train.decay",  "train.warmup",        "train.patience",
};

static int changeable(const char *name)
{
    for (size_t i = 0; i < sizeof may_change / sizeof may_change[0]; i++)
        if (strcmp(name, may_change[i]) == 0)
            return 1;
    return 0;
}

/* Every setting that differs and may not, in one sentence. */
static int compare_config(const struct tess_trainer *trainer,
                          const struct tess_checkpoint_head *head, const char *path,
                          struct tess_error *error)
{
    struct tess_strings differ = {0};

    for (int i = 0; i < tess_n_params; i++) {
        const struct tess_param *param = &tess_params[i];
        char *was, *is, *text;

        if (!param->numeric || changeable(param->name))
            continue;
        was = tess_config_get(&head->config, param);
        is = tess_config_get(&trainer->config, param);
        text = tess_format("%s: %s (now %s)", param->name, was, is);
        if (strcmp(was, is) != 0)
            tess_strings_add(&differ, text);
        tess_free(text);
        tess_free(was);
        tess_free(is);
    }
    if (differ.n > 0) {
        char *all = tess_strings_join(&differ, ", ", 20);

        tess_error_set(error, TESS_ECONFIG,
                       "%s: was trained with %s: set it back, name another run.directory, or start "
                       "over with --fresh",
                       path, all);
        tess_free(all);
    }
    tess_strings_release(&differ);
    return error->code;
}

/* The first symbols that differ, in words; own. */
static char *first_difference(const struct tess_vocab *was, const struct tess_vocab *is)
{
    int64_t i = 0;

    while (i < was->n && i < is->n && strcmp(was->symbol[i], is->symbol[i]) == 0)
        i++;
    return tess_format("number %lld was %s%s%s, now it is %s%s%s", (long long)i,
                       i < was->n ? "'" : "", i < was->n ? was->symbol[i] : "missing",
                       i < was->n ? "'" : "", i < is->n ? "'" : "",
                       i < is->n ? is->symbol[i] : "missing", i < is->n ? "'" : "");
}

static int compare_store(const struct tess_trainer *trainer,
                         const struct tess_checkpoint_head *head, const char *path,
                         struct tess_error *error)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_vocab *vocab[] = {&index->perturbation, &trainer->dataset.readout,
                                        &index->context};

    for (int t = 0; t < TESS_N_TABLES; t++)
        if (tess_vocab_hash(vocab[t]) != tess_vocab_hash(&head->vocab[t])) {
            char *difference = first_difference(&head->vocab[t], vocab[t]);

            tess_error_set(error, TESS_ECONFIG,
                           "%s: knows %lld %ss, %s has %lld (%s): it is not the store this run "
                           "began with; name another run.directory, or start over with --fresh",
                           path, (long long)head->vocab[t].n, tess_table_names[t],
                           trainer->store.h5.path, (long long)vocab[t]->n, difference);
            tess_free(difference);
            return error->code;
        }
    if (index->hash != head->store_hash || index->split_hash != head->split_hash)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: %s is not as it was when this run began (its %s changed); name "
                              "another run.directory, or start over with --fresh",
                              path, trainer->store.h5.path,
                              index->hash != head->store_hash ? "values" : "split");
    if (strcasecmp(head->blas_core, tess_platform_blas_core()) != 0)
        tess_warn(
            "%s: was computed with %s kernels, this machine uses %s: the run goes on, but its "
            "bits will differ from an undisturbed one (OPENBLAS_CORETYPE=%s keeps them)",
            path, head->blas_core, tess_platform_blas_core(), head->blas_core);
    return TESS_OK;
}

/* This rank's rows and slice. */
static int read_parameters(struct tess_trainer *trainer, const struct tess_h5 *h5,
                           const struct tess_checkpoint_head *head, struct tess_error *error)
{
    int64_t first = trainer->slice[trainer->rank], n = trainer->slice[trainer->rank + 1] - first;
    float *whole = TESS_NEW(float, trainer->n_parameters);

    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++) {
        struct tess_shard *shard = &trainer->shard[t];

        tess_checkpoint_read_state(
            h5, head, t, shard->first[shard->rank], shard->n_local,
            (struct tess_row_state){shard->value, shard->m, shard->v, shard->last}, error);
    }
    if (error->code == TESS_OK && tess_checkpoint_read_mlp(h5, head, "m", whole, error) == TESS_OK)
        memcpy(trainer->m, whole + first, (size_t)n * sizeof *whole);
    if (error->code == TESS_OK && tess_checkpoint_read_mlp(h5, head, "v", whole, error) == TESS_OK)
        memcpy(trainer->v, whole + first, (size_t)n * sizeof *whole);
    if (error->code == TESS_OK)
        tess_checkpoint_read_mlp(h5, head, "value", trainer->parameter, error);
    tess_free(whole);
    return error->code;
}

static void take_progress(struct tess_trainer *trainer, struct tess_checkpoint_head *head)
{
    trainer->progress = (struct tess_progress_state){
        .epoch = head->epoch,
        .step_in_epoch = head->step_in_epoch,
        .best_epoch = head->best_epoch,
        .best_step = head->best_step,
        .best_score = head->best_score,
        .epoch_loss = head->epoch_loss,
        .epoch_measured = head->epoch_measured,
    };
    tess_optimizer_release(&trainer->optimizer);
    trainer->optimizer = head->optimizer;
    head->optimizer = (struct tess_optimizer){0};
}

int tess_trainer_resume(struct tess_trainer *trainer, const char *path, struct tess_error *error)
{
    struct tess_checkpoint_head head = {0};
    struct tess_h5 h5 = TESS_H5_INIT;

    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK &&
        tess_checkpoint_read_head(&h5, &head, error) == TESS_OK &&
        compare_config(trainer, &head, path, error) == TESS_OK &&
        compare_store(trainer, &head, path, error) == TESS_OK &&
        read_parameters(trainer, &h5, &head, error) == TESS_OK)
        take_progress(trainer, &head);
    tess_checkpoint_head_release(&head);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    return tess_agree(trainer->comm, error);
}
