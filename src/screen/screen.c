/* screen.c -- a model, perturbations, contexts and readouts; predicted, measured, ranked. */
#include "screen.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/log.h"
#include "tessera/platform.h"
#include "tessera/sheet.h"
#include "tessera/store.h"

void tess_screen_release(struct tess_screen *screen)
{
    tess_strings_release(&screen->readout);
    tess_strings_release(&screen->context);
    tess_strings_release(&screen->perturbation);
    *screen = (struct tess_screen){.n_models = 0};
}

int tess_screen_check(const struct tess_screen *screen, struct tess_error *error)
{
    if (tess_sheet_check(screen->output, "screens", error) != TESS_OK)
        return error->code;
    if ((screen->signature != NULL) == (screen->readout.n > 0))
        return tess_error_set(error, TESS_EUSAGE,
                              "which readouts count? Give --readout LIST or --signature FILE, and "
                              "not both");
    return TESS_OK;
}

/* ---- choosing ---- */

static int choose_perturbations(struct screening *work, struct tess_error *error)
{
    const struct tess_model *model = &work->model;
    struct tess_choice choice = {&model->perturbation, model->trained_perturbation, "perturbation",
                                 model->path, 1};

    return work->screen->pairs
               ? tess_select_pairs(&choice, work->screen->pairs, &work->perturbation, error)
               : tess_select(&choice, &work->screen->perturbation, &work->perturbation, error);
}

/* Rank 0's part: files may be read. */
static int choose(struct screening *work, struct tess_error *error)
{
    const struct tess_model *model = &work->model;
    struct tess_choice context = {&model->context, model->trained_context, "context", model->path,
                                  0};

    if (tess_screen_read_signature(work->screen, model, &work->signature, error) == TESS_OK &&
        choose_perturbations(work, error) == TESS_OK)
        tess_select(&context, &work->screen->context, &work->context, error);
    if (error->code == TESS_OK)
        tess_sheet_check_new(work->screen->output, work->screen->force, error);
    return error->code;
}

static int open_work(struct screening *work, struct tess_error *error)
{
    const struct tess_screen *screen = work->screen;
    const struct tess_blend_request request = {&work->model, screen->store, screen->blend, 0};
    int64_t control;

    if (tess_model_open_ensemble(&work->model, screen->n_models, screen->model, screen->precision,
                                 work->comm, error) != TESS_OK ||
        tess_blender_open_store(&work->blender, &work->learned, &request, work->comm, error) !=
            TESS_OK)
        return error->code;
    if (screen->next > 0 && work->model.n_members < 2)
        return tess_error_set(error, TESS_EUSAGE,
                              "--next: what is worth measuring is where models disagree: give "
                              "several, or a run with train.members");
    if (work->rank == 0)
        choose(work, error);
    if (tess_agree(work->comm, error) != TESS_OK)
        return error->code;
    tess_screen_signature_broadcast(&work->signature, work->comm);
    tess_sets_broadcast(work->comm, &work->perturbation);
    tess_sets_broadcast(work->comm, &work->context);
    control = tess_vocab_find(&work->model.perturbation, TESS_CONTROL);
    work->control = control >= 0 && work->model.trained_perturbation[control] ? control : -1;
    tess_info("%lld perturbations by %lld readout%s in %lld context%s; %s",
              (long long)work->perturbation.n, (long long)work->signature.n,
              work->signature.n == 1 ? "" : "s", (long long)work->context.n,
              work->context.n == 1 ? "" : "s",
              work->control < 0 ? "values are taken as changes, as the model knows no control"
                                : "changes are against the control, as predicted");
    return error->code;
}

/* ---- the screen ---- */

/* `each` items of all perturbations on rank 0, in place of its own. */
static void *gather(const struct screening *work, void *mine, int64_t each, size_t size)
{
    char *all = work->rank == 0 ? TESS_NEW(char, work->perturbation.n *each *(int64_t)size) : NULL;

    tess_gather(work->comm, mine, (work->end - work->begin) * each, size, all);
    if (work->rank == 0) {
        tess_free(mine);
        return all;
    }
    return mine;
}

int tess_screen_run(const struct tess_screen *screen, MPI_Comm comm, struct tess_error *error)
{
    struct screening work = {.screen = screen, .comm = comm};

    MPI_Comm_rank(comm, &work.rank);
    MPI_Comm_size(comm, &work.n_ranks);
    tess_platform_threads(screen->threads);
    if (open_work(&work, error) == TESS_OK) {
        int64_t n = work.perturbation.n;

        work.begin = n * work.rank / work.n_ranks;
        work.end = n * (work.rank + 1) / work.n_ranks;
        work.result = TESS_NEW(struct screen_result, work.end - work.begin);
        if (screen->next > 0)
            work.cell = TESS_NEW(struct screen_cell, (work.end - work.begin) * work.context.n);
        tess_screening_predict(&work, error);
        if (tess_agree(comm, error) == TESS_OK)
            tess_screening_measure(&work, error);
        if (tess_agree(comm, error) == TESS_OK) {
            work.result = gather(&work, work.result, 1, sizeof *work.result);
            if (work.cell)
                work.cell = gather(&work, work.cell, work.context.n, sizeof *work.cell);
        }
        if (error->code == TESS_OK && work.rank == 0)
            tess_screening_write(&work, error);
        tess_agree(comm, error);
    }
    tess_free(work.result);
    tess_free(work.cell);
    tess_screen_signature_release(&work.signature);
    tess_sets_release(&work.perturbation);
    tess_sets_release(&work.context);
    tess_blender_release(&work.blender);
    tess_blend_store_release(&work.learned);
    tess_model_release(&work.model);
    return tess_agree(comm, error);
}
