/* run_blend.c -- the weight beside the best baseline, at the end of a training. */
#include "run_blend.h"

#include "run.h"
#include "run_compare.h"
#include "run_validation.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/model.h"
#include "tessera/trainer.h"

#include <math.h>
#include <string.h>

#define SMALL_MODEL 2.5e8 /* bytes that every rank has to spare */

/* The baselines that a model is blended with, then `features`. */
enum { OWN = TESS_BLEND_BASELINES + 1 };

struct fitting {
    const struct tess_trainer *trainer;
    const struct tess_model *model; /* NULL: only the baselines are looked at */
    struct tess_blend_sums *sums; /* (validation.n) */
    struct tess_comparing comparing;
    struct tess_error *error; /* of the visit, borrowed */
};

/* The model says nothing of what it was not trained on, nor does who predicts with it. */
static int is_known(const struct fitting *fitting, int64_t combination, int64_t context)
{
    const struct tess_index *index = &fitting->trainer->store.index;
    int known = fitting->model->trained_context[context];

    for (int64_t k = index->combination_first[combination];
         k < index->combination_first[combination + 1]; k++)
        known = known && fitting->model->trained_perturbation[index->combination_member[k]];
    return known;
}

/* The batch as the model takes it: the store's numbers of perturbations and contexts are its own.
 */
static float *predict(const struct fitting *fitting, const struct tess_validation_batch *batch)
{
    const struct tess_index *index = &fitting->trainer->store.index;
    int64_t *first = TESS_NEW(int64_t, batch->n + 1), *member = NULL;
    int64_t *context = TESS_NEW(int64_t, batch->n);
    float *out = TESS_NEW(float, batch->n * batch->width);
    size_t room = 0;

    for (int64_t k = 0; k < batch->n; k++) {
        const int64_t *of = index->combination_first + batch->combination[k];
        int64_t size = of[1] - of[0];

        member = tess_grow(member, &room, (size_t)(first[k] + size), sizeof *member);
        memcpy(member + first[k], index->combination_member + of[0], (size_t)size * sizeof *member);
        first[k + 1] = first[k] + size;
        context[k] = batch->context;
    }
    tess_model_predict(fitting->model, &(struct tess_rows){batch->n, first, member, context},
                       &(struct tess_model_columns){
                           .n_readouts = batch->width, .readout = batch->readout, .out = out},
                       fitting->error);
    tess_free(first);
    tess_free(member);
    tess_free(context);
    return out;
}

static void multiply(struct tess_blend_products *of, double m, double b)
{
    of->experiments = 1; /* of one experiment */
    of->m2 += m * m;
    of->b2 += b * b;
    of->mb += m * b;
    of->values++;
}

/* One value of an experiment: errors of the model and of baselines. */
static void add(struct tess_blend_sums *sums, double m, const double *b, const uint8_t *own)
{
    sums->values++;
    sums->experiments = 1;
    sums->m2 += m * m;
    for (int i = 0; i < OWN; i++) {
        if (i < TESS_BLEND_BASELINES)
            sums->b2[i] += b[i] * b[i];
        if (own[i])
            multiply(&sums->own[i], m, b[i]);
    }
}

/* The same of a combination: changes of the model, of the sum of its components, and measured. */
static void add_sum(struct tess_blend_sums *sums, int which, double m, double s, double y)
{
    sums->components[which].experiments = 1;
    sums->components[which].m2 += m * m;
    sums->components[which].s2 += s * s;
    sums->components[which].y2 += y * y;
    sums->components[which].ms += m * s;
    sums->components[which].my += m * y;
    sums->components[which].sy += s * y;
}

/* Is the k-th one a combination whose components are all measured? */
static int has_sum(const struct fitting *fitting, const struct tess_validation_batch *batch,
                   int64_t k)
{
    return batch->out[TESS_ADDITIVE_COMPONENTS] &&
           !batch->fallback[k * TESS_BASELINES + TESS_ADDITIVE_COMPONENTS] &&
           !tess_index_is_control(&fitting->trainer->store.index, batch->combination[k]);
}

/* One value of such a one, which is y; the model says m, and the baselines are off by b. */
static void add_combination(struct tess_blend_sums *sums, const struct tess_validation_batch *batch,
                            int64_t at, const double *value, const double *b, const uint8_t *own)
{
    double m = value[0], y = value[1], control = batch->out[TESS_NO_PERTURBATION][at];

    for (int i = 0; i < TESS_BLEND_BASELINES; i++)
        multiply(&sums->beside[i][!own[i]], m - y, b[i]);
    for (int i = 0; i < TESS_BLEND_COMPONENTS; i++)
        if (batch->out[tess_blend_components[i]])
            add_sum(sums, i, m - control, batch->out[tess_blend_components[i]][at] - control,
                    y - control);
}

static void take_experiment(const struct fitting *fitting,
                            const struct tess_validation_batch *batch, int64_t k, const float *out)
{
    struct tess_blend_sums *sums = &fitting->sums[batch->place[k]];
    const struct tess_index *index = &fitting->trainer->store.index;
    const uint8_t *fallback = batch->fallback + k * TESS_BASELINES;
    const int64_t *first = index->combination_first + batch->combination[k];
    int alone =
        first[1] - first[0] == 1 && tess_blend_by_features(fallback, batch->out[TESS_FEATURES]);
    uint8_t own[OWN] = {[TESS_BLEND_BASELINES] = (uint8_t)alone};

    for (int i = 0; i < TESS_BLEND_BASELINES; i++)
        own[i] = (uint8_t)(batch->out[tess_blend_baselines[i]] != NULL &&
                           tess_blend_speaks(tess_blend_baselines[i], fallback, alone));
    for (int64_t j = 0; j < batch->width; j++) {
        int64_t at = k * batch->width + j;
        double y = tess_validation_value(fitting->trainer, batch, at), b[OWN];

        if (isnan(y) || !fitting->model->trained_readout[batch->readout[j]])
            continue;
        for (int i = 0; i < OWN; i++) {
            int features = i == TESS_BLEND_BASELINES || (alone && !own[i]);
            const double *says = batch->out[features ? TESS_FEATURES : tess_blend_baselines[i]];

            b[i] = says ? says[at] - y : NAN;
        }
        add(sums, (double)out[at] - y, b, own);
        if (has_sum(fitting, batch, k))
            add_combination(sums, batch, at, (double[]){(double)out[at], y}, b, own);
    }
}

static void take(void *closure, const struct tess_validation_batch *batch)
{
    struct fitting *fitting = closure;
    float *out;

    out = fitting->model ? predict(fitting, batch) : NULL;
    tess_comparing_take(&fitting->comparing, batch, out);
    if (!out)
        return;
    for (int64_t k = 0; k < batch->n; k++)
        if (is_known(fitting, batch->combination[k], batch->context))
            take_experiment(fitting, batch, k, out);
    tess_free(out);
}

static void say(const struct tess_blend *blend)
{
    if (blend->feature_weight < 1)
        tess_info("perturbations known by their features alone: %.2f of the model, %.2f of the "
                  "baseline features",
                  blend->feature_weight, 1 - blend->feature_weight);
    if (!isnan(blend->feature_rmse))
        tess_info("validation RMSE of perturbations known by their features alone: %.4f, of the "
                  "model alone %.4f",
                  blend->feature_rmse, blend->feature_model_rmse);
    if (blend->weight < 1 && tess_blend_pays(blend))
        tess_info("evaluate and impute blend it with the baseline %s: %.2f of the model, %.2f of "
                  "the baseline (--blend off: the model alone)",
                  tess_baseline_name(blend->baseline), blend->weight, 1 - blend->weight);
    else
        tess_info("evaluate and impute take the model alone: its weight beside the baseline %s is "
                  "%.2f (--blend on: blend nevertheless)",
                  tess_baseline_name(blend->baseline), blend->weight);
    if (!isnan(blend->components_sum))
        tess_info("combinations whose components are measured: %.2f of the model's change, %.2f of "
                  "that of the baseline %s",
                  blend->components_model, blend->components_sum,
                  tess_baseline_name(blend->components_baseline));
}

/* The weight from what was summed up, into the file. Collective. */
static void fit(const struct tess_run *run, const struct fitting *fitting,
                const struct tess_comparison *comparison, struct tess_error *error)
{
    const struct tess_trainer *trainer = fitting->trainer;
    struct tess_blend blend = {.model_hash = fitting->model->own_hash,
                               .feature_weight =
                                   trainer->dataset.features[TESS_TABLE_P].k > 0 ? 0.5 : 1,
                               .store_hash = trainer->store.index.hash,
                               .split_hash = trainer->store.index.split_hash};
    struct tess_blend_sums sums;

    tess_validation_add_up(trainer, (int64_t)(sizeof sums / sizeof(double)),
                           (const double *)fitting->sums, (double *)&sums);
    if (sums.values == 0 || run->rank != 0)
        return;
    tess_blend_fit(&blend, &sums);
    for (int i = 0; i < TESS_BLEND_BASELINES; i++)
        blend.validation_rmse[i] = comparison->rmse[tess_blend_baselines[i]];
    if (tess_blend_write(run->directory, &blend, error) == TESS_OK)
        say(&blend);
}

/* One walk over the validation values serves both: how good the baselines are, and how much of the
 * model (or none: NULL) is to be taken. Collective. */
static int make(const struct tess_run *run, const struct tess_trainer *trainer,
                const struct tess_model *model, struct tess_error *error)
{
    struct fitting fitting = {.trainer = trainer,
                              .model = model,
                              .sums = TESS_NEW(struct tess_blend_sums, trainer->validation.n),
                              .error = error};
    struct tess_comparison comparison;

    tess_comparing_begin(&fitting.comparing, trainer);
    if (tess_validation_visit(trainer, &(struct tess_validation_visitor){&fitting, take}, error) ==
        TESS_OK) {
        tess_comparing_finish(&fitting.comparing, &comparison);
        if (run->rank == 0)
            tess_run_say_comparison(trainer, &comparison);
        if (model)
            fit(run, &fitting, &comparison, error);
    }
    tess_comparing_release(&fitting.comparing);
    tess_free(fitting.sums);
    return tess_agree(trainer->comm, error);
}

/* Does the run have the one that belongs to this model? Rank 0 looks. */
static int is_made(const struct tess_run *run, const struct tess_model *model)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    struct tess_blend blend;
    int there = 0;

    if (run->rank == 0)
        there = tess_blend_read(run->directory, &blend, &there, &ignored) == TESS_OK && there &&
                blend.model_hash == model->own_hash;
    MPI_Bcast(&there, 1, MPI_INT, 0, run->comm);
    return there;
}

/* Every rank opens the whole model: may it, beside what the training was announced to take? */
static int fits(const struct tess_trainer *trainer)
{
    double bytes = tess_trainer_model_bytes(trainer);

    if (bytes <= fmax(SMALL_MODEL, 0.5 * trainer->announced))
        return 1;
    tess_info("the whole model takes %.0f MB, too much beside the %.0f MB of a rank: its weight "
              "beside the baselines is not looked for",
              bytes / 1e6, trainer->announced / 1e6);
    return 0;
}

int tess_run_blend(const struct tess_run *run, struct tess_trainer *trainer,
                   struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;
    struct tess_model model = {.step = 0};
    int fit = fits(trainer), made = 0;

    if (tess_index_observed(&trainer->store.index, TESS_VAL) == 0) {
        tess_info("no validation values: the model is not compared with the baselines");
        return TESS_OK;
    }
    tess_trainer_rest(trainer);
    if (fit && tess_model_open(&model, run->directory, TESS_PRECISION_AUTO, trainer->comm, &mine) ==
                   TESS_OK)
        made = is_made(run, &model);
    if (mine.code == TESS_OK && !made) {
        tess_run_forget_blend(run);
        make(run, trainer, fit ? &model : NULL, &mine);
    } else if (made)
        tess_info("best validation RMSE %.4f after epoch %lld", trainer->progress.best_score,
                  (long long)trainer->progress.best_epoch);
    if (fit)
        tess_model_release(&model);
    if (mine.code == TESS_EINTERRUPTED)
        return tess_error_set(error, mine.code,
                              "stopped by a signal after the last checkpoint: run the same command "
                              "again to go on");
    if (mine.code != TESS_OK)
        tess_warn("%s; the model is not compared with the baselines", mine.text);
    return error->code;
}
