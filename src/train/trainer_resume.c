/* trainer_resume.c -- taking over a checkpoint's state, on whatever number of ranks. */
#include "tessera/trainer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/log.h"
#include "tessera/text.h"

#include <math.h>
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
int tess_trainer_compare(const struct tess_config *before, const struct tess_config *now,
                         const char *path, struct tess_error *error)
{
    struct tess_strings differ = {0};

    for (int i = 0; i < tess_n_params; i++) {
        const struct tess_param *param = &tess_params[i];
        char *was, *is, *text;

        if (!param->numeric || changeable(param->name))
            continue;
        was = tess_config_get(before, param);
        is = tess_config_get(now, param);
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

#define SAME_FEATURE                                                                               \
    1e-3f /* of coordinates whose mean square is 1; other kernels round otherwise */

/* To the bit, unless other kernels computed them (`near`). NaN are what is not known. */
static int differ(const struct tess_features *a, const struct tess_features *b, int near)
{
    int64_t i = 0, n = a->n * a->k;

    if (a->k != b->k || a->n != b->n)
        return 1;
    if (!near)
        return n > 0 && memcmp(a->value, b->value, (size_t)n * sizeof *a->value) != 0;
    while (i < n && (isnan(a->value[i]) ? isnan(b->value[i])
                                        : fabsf(a->value[i] - b->value[i]) <= SAME_FEATURE))
        i++;
    return i < n;
}

/* Symbols first: they say best what differs. Other BLAS kernels give other bits, not wrong ones: a
 * warning. */
static int compare_store(const struct tess_trainer *trainer, const struct tess_state *saved,
                         const char *path, struct tess_error *error)
{
    struct tess_state mine = tess_trainer_state(trainer);

    for (int t = 0; t < TESS_N_TABLES; t++)
        if (tess_vocab_hash(&mine.vocab[t]) != tess_vocab_hash(&saved->vocab[t])) {
            char *difference = first_difference(&saved->vocab[t], &mine.vocab[t]);

            tess_error_set(error, TESS_ECONFIG,
                           "%s: knows %lld %ss, %s has %lld (%s): it is not the store this run "
                           "began with; name another run.directory, or start over with --fresh",
                           path, (long long)saved->vocab[t].n, tess_table_names[t],
                           trainer->store.h5.path, (long long)mine.vocab[t].n, difference);
            tess_free(difference);
            return error->code;
        }
    if (mine.store_hash != saved->store_hash || mine.split_hash != saved->split_hash)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: %s is not as it was when this run began (its %s changed); name "
                              "another run.directory, or start over with --fresh",
                              path, trainer->store.h5.path,
                              mine.store_hash != saved->store_hash ? "values" : "split");
    for (int t = 0; t < TESS_N_TABLES; t++)
        if (differ(&mine.features[t], &saved->features[t],
                   strcasecmp(saved->blas_core, mine.blas_core) != 0))
            return tess_error_set(error, TESS_ECONFIG,
                                  "%s: features.%ss are not those that this run began with: set "
                                  "them back, name another run.directory, or start over with "
                                  "--fresh",
                                  path, tess_table_names[t]);
    if (strcasecmp(saved->blas_core, mine.blas_core) != 0)
        tess_warn(
            "%s: was computed with %s kernels, this machine uses %s: the run goes on, but its "
            "bits will differ from an undisturbed one (OPENBLAS_CORETYPE=%.*s keeps them, on a "
            "processor with the same unit for bfloat16)",
            path, saved->blas_core, mine.blas_core, (int)strcspn(saved->blas_core, "+"),
            saved->blas_core);
    return TESS_OK;
}

/* This rank's rows and slice. */
static int read_parameters(const struct tess_trainer *trainer, const struct tess_h5 *h5,
                           const struct tess_state *saved, struct tess_error *error)
{
    struct tess_state mine = tess_trainer_state(trainer);

    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        tess_checkpoint_read_state(h5, saved, t, mine.row_range[t], &mine.rows[t], error);
    return error->code == TESS_OK ? tess_checkpoint_read_mlp(h5, &mine, error) : error->code;
}

/* train.precision: auto means what the run began with. Before its first step. */
static int keep_precision(struct tess_trainer *trainer, const struct tess_state *saved)
{
    int64_t *precision = &trainer->config.train.precision, kept = saved->config.train.precision;

    if (trainer->precision_asked == TESS_PRECISION_AUTO && *precision != kept) {
        *precision = kept;
        tess_info("train.precision: %s after all, which this run began with",
                  tess_precision_name((int)kept));
    }
    return TESS_OK;
}

int tess_trainer_resume(struct tess_trainer *trainer, const char *path, struct tess_error *error)
{
    struct tess_state saved = {.version = 0};
    struct tess_h5 h5 = TESS_H5_INIT;

    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK &&
        tess_checkpoint_read_head(&h5, &saved, error) == TESS_OK &&
        keep_precision(trainer, &saved) == TESS_OK &&
        tess_trainer_compare(&saved.config, &trainer->config, path, error) == TESS_OK &&
        compare_store(trainer, &saved, path, error) == TESS_OK &&
        read_parameters(trainer, &h5, &saved, error) == TESS_OK) {
        tess_optimizer_release(&trainer->optimizer);
        tess_trainer_adopt(trainer, &saved);
        saved.optimizer = (struct tess_optimizer){.step = 0}; /* is the trainer's now */
    }
    tess_state_release(&saved);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    return tess_agree(trainer->comm, error);
}
