/* screen.c -- a model, perturbations, contexts and readouts; predicted, measured, ranked. */
#include "screen.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/choice.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/log.h"
#include "tessera/platform.h"
#include "tessera/sheet.h"
#include "tessera/store.h"

#define QUIET_BYTES 1e7 /* of which nothing is said */

void tess_screen_release(struct tess_screen *screen)
{
    tess_strings_release(&screen->readout);
    tess_strings_release(&screen->context);
    tess_strings_release(&screen->perturbation);
    *screen = (struct tess_screen){.n_models = 0};
}

/* Text, whose endings sheet.h knows, or AnnData. */
static int check_output(const struct tess_screen *screen, struct tess_error *error)
{
    struct tess_error unknown = TESS_ERROR_INIT;

    if (screen->text || tess_screening_is_file(screen))
        return TESS_OK;
    if (!screen->output || !screen->output[0])
        return tess_sheet_check(screen->output, "screens", error);
    if (tess_sheet_check(screen->output, "screens", &unknown) != TESS_OK)
        tess_error_set(error, TESS_EUSAGE,
                       "-o '%s': screens are written as text or as AnnData: give it the ending "
                       ".tsv, .txt, .csv or .h5ad, or - for standard output",
                       screen->output);
    return error->code;
}

int tess_screen_check(const struct tess_screen *screen, struct tess_error *error)
{
    if (tess_screening_is_file(screen) && screen->next > 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--next lists experiments: give -o the ending .tsv, .txt or .csv");
    if (check_output(screen, error) != TESS_OK)
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
    struct tess_choice choice = tess_choice_of(model, TESS_TABLE_P);

    choice.combinations = !work->screen->all_pairs;
    return work->screen->pairs
               ? tess_select_pairs(&choice, work->screen->pairs, &work->perturbation, error)
               : tess_select(&choice, &work->screen->perturbation, &work->perturbation, error);
}

/* Rank 0's part: files may be read. */
static int choose(struct screening *work, struct tess_error *error)
{
    const struct tess_model *model = &work->model;
    struct tess_choice context = tess_choice_of(model, TESS_TABLE_C);

    if (tess_screen_read_signature(work->screen, model, &work->signature, error) == TESS_OK &&
        choose_perturbations(work, error) == TESS_OK &&
        tess_screening_keep_type(work, error) == TESS_OK)
        tess_select(&context, &work->screen->context, &work->context, error);
    if (error->code == TESS_OK && !work->screen->text)
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
    tess_model_share(&work->model, work->comm);
    tess_screen_signature_broadcast(&work->signature, work->comm);
    tess_sets_broadcast(work->comm, &work->perturbation);
    tess_sets_broadcast(work->comm, &work->context);
    control = tess_vocab_find(&work->model.perturbation, TESS_CONTROL);
    work->control = control >= 0 && work->model.trained_perturbation[control] ? control : -1;
    if (screen->all_pairs && tess_screening_pair(work, error) != TESS_OK)
        return error->code;
    if (screen->hits >= work->perturbation.n)
        return tess_error_set(error, TESS_EUSAGE,
                              "--hits: %lld are no choice among the %lld perturbations that are "
                              "screened",
                              (long long)screen->hits, (long long)work->perturbation.n);
    tess_info("%lld perturbations by %lld readout%s in %lld context%s; %s",
              (long long)work->perturbation.n, (long long)work->signature.n,
              work->signature.n == 1 ? "" : "s", (long long)work->context.n,
              work->context.n == 1 ? "" : "s",
              work->control < 0 ? "values are taken as changes, as the model knows no control"
                                : "changes are against the control, as predicted");
    return error->code;
}

/* ---- the screen ---- */

/* Room for what is known of perturbations, and of experiments; rank 0's for all of them, too,
 * before the work begins. Collective. */
static int make_room(struct screening *work, struct tess_error *error)
{
    int64_t n = work->perturbation.n, mine, contexts = tess_screening_contexts(work);
    double bytes = tess_screening_bytes(work, n);

    work->begin = n * work->rank / work->n_ranks;
    work->end = n * (work->rank + 1) / work->n_ranks;
    mine = work->end - work->begin;
    if (bytes > QUIET_BYTES)
        tess_info("memory: %.3g MB on rank 0, beside the model's, for what is known of %s",
                  bytes / 1e6, contexts ? "experiments" : "perturbations");
    work->result = tess_alloc_large((size_t)mine, sizeof *work->result, "a screen", error);
    if (contexts && error->code == TESS_OK)
        work->cell =
            tess_alloc_large((size_t)(mine * contexts), sizeof *work->cell, "a screen", error);
    if (work->rank == 0 && error->code == TESS_OK)
        work->all_results = tess_alloc_large((size_t)n, sizeof *work->result, "a screen", error);
    if (work->rank == 0 && contexts && error->code == TESS_OK)
        work->all_cells =
            tess_alloc_large((size_t)(n * contexts), sizeof *work->cell, "a screen", error);
    return tess_agree(work->comm, error);
}

/* All on rank 0, in place of its own. Collective. */
static void gather(struct screening *work)
{
    int64_t mine = work->end - work->begin;

    tess_gather(work->comm, work->result, mine, sizeof *work->result, work->all_results);
    if (work->cell)
        tess_gather(work->comm, work->cell, mine * work->context.n, sizeof *work->cell,
                    work->all_cells);
    if (work->rank == 0) {
        tess_free(work->result);
        work->result = work->all_results;
        work->all_results = NULL;
        tess_free(work->cell);
        work->cell = work->all_cells;
        work->all_cells = NULL;
    }
}

int tess_screen_run(const struct tess_screen *screen, MPI_Comm comm, struct tess_error *error)
{
    struct screening work = {.screen = screen, .comm = comm};

    MPI_Comm_rank(comm, &work.rank);
    MPI_Comm_size(comm, &work.n_ranks);
    tess_platform_threads(screen->threads);
    if (open_work(&work, error) == TESS_OK && make_room(&work, error) == TESS_OK) {
        tess_screening_predict(&work, error);
        if (tess_agree(comm, error) == TESS_OK)
            tess_screening_measure(&work, error);
        if (tess_agree(comm, error) == TESS_OK)
            gather(&work);
        if (error->code == TESS_OK && work.rank == 0 && work.n_pairs == 0)
            tess_screening_spread(&work);
        if (error->code == TESS_OK && tess_screening_is_file(screen))
            tess_screening_write_file(&work, error);
        else if (error->code == TESS_OK && work.rank == 0)
            tess_screening_write(&work, error);
        tess_agree(comm, error);
    }
    tess_free(work.result);
    tess_free(work.cell);
    tess_free(work.all_results);
    tess_free(work.all_cells);
    tess_screen_signature_release(&work.signature);
    tess_sets_release(&work.perturbation);
    tess_sets_release(&work.context);
    tess_blender_release(&work.blender);
    tess_blend_store_release(&work.learned);
    tess_model_release(&work.model);
    return tess_agree(comm, error);
}
