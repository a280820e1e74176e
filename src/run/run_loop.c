/* run_loop.c -- a training from its first epoch to its last: log, validation, checkpoints. */
#include "run.h"
#include "run_begin.h"
#include "run_blend.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/feature_file.h"
#include "tessera/log.h"
#include "tessera/trainer.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct report {
    double loss, score, *context; /* (n_contexts) */
    double seconds, rate; /* of this session; observations a second */
    double validation; /* seconds */
    int better;
};

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* One line of log.jsonl. Epochs are counted from 1 here, from 0 in the state. */
static json_t *log_line(const struct tess_trainer *trainer, const struct report *report)
{
    const struct tess_index *index = &trainer->store.index;
    json_t *line = json_object(), *contexts = json_object(), *seconds = json_object();

    json_object_set_new(line, "step", json_integer(trainer->optimizer.step));
    json_object_set_new(line, "epoch", json_integer(trainer->progress.epoch + 1));
    json_object_set_new(line, "learning_rate",
                        number(trainer->optimizer.rate[trainer->optimizer.step]));
    json_object_set_new(line, "train_loss", number(report->loss));
    json_object_set_new(line, "train_rmse", number(sqrt(report->loss)));
    json_object_set_new(line, "val_rmse", number(report->score));
    for (int64_t c = 0; c < index->context.n; c++)
        if (isfinite(report->context[c]))
            json_object_set_new(contexts, index->context.symbol[c], json_real(report->context[c]));
    json_object_set_new(line, "val_rmse_contexts", contexts);
    json_object_set_new(line, "observations_per_s", number(report->rate));
    json_object_set_new(seconds, "epoch", json_real(report->seconds));
    json_object_set_new(seconds, "preparing", json_real(trainer->times.stage[TESS_STAGE_PREPARE]));
    json_object_set_new(seconds, "reading", json_real(trainer->times.stage[TESS_STAGE_READ]));
    json_object_set_new(seconds, "compute", json_real(trainer->times.compute));
    json_object_set_new(seconds, "communication", json_real(trainer->times.communicate));
    json_object_set_new(seconds, "waiting", json_real(trainer->times.wait));
    json_object_set_new(seconds, "validation", json_real(report->validation));
    json_object_set_new(line, "seconds", seconds);
    return line;
}

static void say(const struct tess_trainer *trainer, const struct report *report)
{
    const struct tess_times *t = &trainer->times;
    double prepare = t->stage[TESS_STAGE_PREPARE], read = t->stage[TESS_STAGE_READ];
    double all = fmax(prepare + read + t->compute + t->communicate + t->wait, 1e-9);
    char reading[40] = ""; /* of who waited for the disk */

    if (trainer->ahead)
        snprintf(reading, sizeof reading, "reading %.0f %%, ", 100 * read / all);
    tess_info("epoch %lld/%lld  step %lld  train RMSE %.4f  val RMSE %.4f%s  %.0f k obs/s  "
              "(preparing %.0f %%, %scompute %.0f %%, communication %.0f %%, waiting %.0f %%)",
              (long long)trainer->progress.epoch + 1, (long long)trainer->config.train.epochs,
              (long long)trainer->optimizer.step, sqrt(report->loss), report->score,
              report->better ? " *" : "", report->rate / 1e3, 100 * prepare / all, reading,
              100 * t->compute / all, 100 * t->communicate / all, 100 * t->wait / all);
}

/* A checkpoint that cannot be written now (a full disk, say) must not end the run: the older ones
 * stand, and the next one is tried in its turn. Numbers that are not finite end it. Collective. */
static int save_if_possible(struct tess_run *run, struct tess_trainer *trainer,
                            int (*save)(struct tess_run *, struct tess_trainer *,
                                        struct tess_error *),
                            struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;

    if (save(run, trainer, &mine) == TESS_EDATA)
        *error = mine;
    else if (mine.code != TESS_OK)
        tess_warn("%s; the run goes on, earlier checkpoints stand", mine.text);
    return error->code;
}

static int stop(struct tess_trainer *trainer, struct tess_run *run, const char *why,
                struct tess_error *error)
{
    if (tess_run_save(run, trainer, error) != TESS_OK)
        return error->code; /* earlier checkpoints stand */
    return tess_error_set(error, TESS_EINTERRUPTED,
                          "stopped by %s after a complete checkpoint at step %lld: run the same "
                          "command again to go on",
                          why ? why : "a signal", /* all that other ranks stop for */
                          (long long)trainer->optimizer.step);
}

/* Steps of one epoch; on the way a checkpoint whenever rank 0's clock says so. */
static int run_epoch(struct tess_trainer *trainer, struct tess_run *run, struct report *report,
                     struct tess_error *error)
{
    struct tess_progress_state *at = &trainer->progress;
    struct tess_progress progress;
    double started = tess_clock(), before = at->epoch_measured;
    double spread = (double)trainer->dataset.scaling.spread; /* the loss is of targets */

    tess_trainer_begin_epoch(trainer, at->epoch);
    tess_progress_init(&progress, "training", "steps", trainer->steps_per_epoch);
    while (at->step_in_epoch < trainer->steps_per_epoch) {
        const char *why = tess_run_stop_reason(run);

        /* Both travel with the step's pulse, which adds them up over ranks: all save, or stop,
         * after the same step, whoever was asked. */
        trainer->pulse.save[0] = tess_run_checkpoint_due(run);
        trainer->pulse.stop[0] = why != NULL;
        if (tess_trainer_step(trainer, at->step_in_epoch, error) != TESS_OK)
            break;
        at->step_in_epoch++;
        if (trainer->pulse.stop[0] > 0) {
            stop(trainer, run, why, error);
            break;
        }
        if (trainer->pulse.save[0] > 0 &&
            save_if_possible(run, trainer, tess_run_save, error) != TESS_OK)
            break;
        tess_progress_show(&progress, at->step_in_epoch);
    }
    tess_progress_release(&progress);
    report->seconds = tess_clock() - started;
    report->rate = (at->epoch_measured - before) / fmax(report->seconds, 1e-9);
    report->loss = at->epoch_loss / at->epoch_measured * spread * spread;
    return error->code;
}

/* After `epoch` epochs; a training that has no score yet is not stopped. */
static int out_of_patience(const struct tess_trainer *trainer, int64_t epoch, int64_t best_epoch)
{
    int64_t patience = trainer->config.train.patience;

    return patience > 0 && best_epoch > 0 && epoch - best_epoch >= patience;
}

/* Score, log line, best checkpoint. A signal that comes while validating leads to a checkpoint from
 * before it. */
static int end_epoch(struct tess_trainer *trainer, struct tess_run *run, struct report *report,
                     struct tess_error *error)
{
    struct tess_progress_state *at = &trainer->progress;
    double started = tess_clock();
    int code = tess_trainer_validate(trainer, &report->score, report->context, error);

    if (code != TESS_OK)
        return code == TESS_EINTERRUPTED ? stop(trainer, run, "a signal", error) : code;
    report->validation = tess_clock() - started;
    report->better =
        isfinite(report->score) && (at->best_epoch == 0 || report->score < at->best_score);
    if (report->better) {
        at->best_score = report->score;
        at->best_epoch = at->epoch + 1;
        at->best_step = trainer->optimizer.step;
    }
    if (trainer->rank == 0) {
        tess_run_log(run, log_line(trainer, report));
        say(trainer, report);
    }
    trainer->times = (struct tess_times){0};
    return report->better ? save_if_possible(run, trainer, tess_run_save_best, error) : TESS_OK;
}

static int run_all(struct tess_trainer *trainer, struct tess_run *run, struct tess_error *error)
{
    struct report report = {.context = TESS_NEW(double, trainer->store.index.context.n)};
    struct tess_error mine = TESS_ERROR_INIT;
    struct tess_progress_state *at = &trainer->progress;
    int64_t resumed = trainer->optimizer.step, resumed_epoch = at->epoch;

    while (at->epoch < trainer->config.train.epochs &&
           !out_of_patience(trainer, at->epoch, at->best_epoch)) {
        if (run_epoch(trainer, run, &report, error) != TESS_OK ||
            end_epoch(trainer, run, &report, error) != TESS_OK)
            break;
        at->epoch++;
        at->step_in_epoch = 0;
        at->epoch_loss = at->epoch_measured = 0;
    }
    if (error->code == TESS_OK && at->epoch < trainer->config.train.epochs)
        tess_info("no better for %lld epochs: stopped early",
                  (long long)trainer->config.train.patience);
    if (error->code == TESS_OK && resumed > 0 && at->epoch == resumed_epoch)
        tess_info("nothing was left to do");
    else if (error->code == TESS_OK && tess_run_save(run, trainer, error) == TESS_OK)
        tess_run_check_best(run, trainer, error);
    if (error->code == TESS_EDATA && /* not finite any more: the best ones are worth keeping */
        tess_run_flush_best(run, trainer, &mine) != TESS_OK)
        tess_warn("%s", mine.text);
    tess_free(report.context);
    return error->code;
}

/* From where the run begins to where it ends. Its directory is open. Collective. */
static int run_whole(struct tess_run *run, struct tess_trainer *trainer,
                     struct tess_beginning *beginning, int *loaded, struct tess_error *error)
{
    if (tess_beginning_scale(beginning, run, trainer, error) != TESS_OK)
        return error->code;
    tess_beginning_note(&run->config, &trainer->config);
    *loaded = tess_trainer_load(trainer, error) == TESS_OK;
    if (*loaded && tess_beginning_take(beginning, trainer, error) == TESS_OK &&
        tess_run_resume(run, trainer, error) == TESS_OK &&
        run_all(trainer, run, error) == TESS_OK && trainer->progress.best_epoch > 0) {
        tess_beginning_widen(beginning, trainer);
        if (!run->is_part)
            tess_run_blend(run, trainer, error);
    }
    return error->code;
}

static void say_done(const struct tess_run *run, double started)
{
    double all = tess_clock() - started;

    tess_info("done in %.1f s: %s", all, run->directory);
    tess_debug("%.1f s of it (%.2g %%) writing checkpoints", run->saving, 100 * run->saving / all);
}

/* Values that are in memory were looked at when they were loaded: steps and checkpoints find
 * nothing else wrong with the data than numbers that are not finite. */
static int has_diverged(const struct tess_trainer *trainer, const struct tess_error *error)
{
    return error->code == TESS_EDATA && trainer->optimizer.step > 0 &&
           (!trainer->ahead || !isfinite(trainer->pulse.loss));
}

/* The plan is said before the directory is touched; the directory is locked before time goes into
 * loading. */
int tess_run_train(const struct tess_config *config, const struct tess_train_options *options,
                   MPI_Comm comm, struct tess_error *error)
{
    struct tess_trainer_part part = {options->context, options->features};
    struct tess_beginning beginning;
    struct tess_feature_cache features = {.known = beginning.known};
    struct tess_trainer trainer;
    struct tess_config used = *config;
    struct tess_run run = {0};
    double started = tess_clock(), limit = 0;
    int loaded = 0;

    tess_beginning_settle(&beginning, &used, options->fresh, comm);
    if (tess_beginning_has_features(&beginning))
        part.features = &features;
    if (tess_trainer_open_part(&trainer, &used, &part, comm, error) == TESS_OK &&
        tess_beginning_open(&beginning, &trainer, options->fresh, comm, error) == TESS_OK) {
        if (options->need)
            *options->need = (struct tess_train_need){tess_trainer_most_bytes(&trainer),
                                                      tess_trainer_save_bytes(&trainer)};
        else
            tess_trainer_announce(&trainer);
    }
    if (error->code != TESS_OK || options->dry_run) {
        tess_beginning_release(&beginning);
        tess_trainer_release(&trainer);
        return error->code;
    }
    tess_beginning_note(&used, &trainer.config);
    if (tess_run_open(&run, &used, options->fresh, comm, error) == TESS_OK) {
        run.member = options->of;
        run.is_part = options->context != NULL;
        if (options->time_limit > 0)
            /* Counted from the start of the program; 0 would mean no limit. */
            limit = fmax(options->time_limit - (tess_clock() - started), 1e-3);
        tess_deadline_set(&run.deadline, limit);
        if (run_whole(&run, &trainer, &beginning, &loaded, error) == TESS_OK)
            say_done(&run, started);
    }
    if (loaded && error->code != TESS_OK && options->diverged)
        *options->diverged = has_diverged(&trainer, error);
    if (loaded)
        tess_trainer_say_memory(&trainer);
    tess_beginning_release(&beginning);
    tess_trainer_release(&trainer);
    tess_run_close(&run);
    return error->code;
}
