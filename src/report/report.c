/* report.c -- the order of a report: the model is opened and scored, its parts become JSON on rank
 * 0, a screen is made, and what came of it is written. */
#include "tessera/report.h"

#include "sections.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/scorecard.h"
#include "tessera/screen.h"
#include "tessera/sheet.h"
#include "tessera/version.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct work {
    const struct tess_report *report; /* borrowed */
    MPI_Comm comm;
    int rank;
    struct tess_model model;
    struct tess_store store;
    int has_store;
    char *unscored; /* why there are no scores; NULL: there are; own */
    json_t *page; /* rank 0; own */
    char *readout; /* whose screen is made; NULL: none; own */
};

int tess_report_check(const struct tess_report *report, struct tess_error *error)
{
    const char *end = report->output ? strrchr(report->output, '.') : NULL;

    if (!report->output && !report->json)
        return tess_error_set(error, TESS_EUSAGE,
                              "-o REPORT.html is missing: the page needs a place to go");
    if (report->output && (!end || (strcmp(end, ".html") != 0 && strcmp(end, ".htm") != 0)))
        return tess_error_set(error, TESS_EUSAGE,
                              "-o '%s': a page is HTML: give it the ending .html", report->output);
    if (report->screen && report->readout.n > 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--screen is a finished screen and --readout makes one: give one of "
                              "them");
    if (report->gold && !report->network)
        return tess_error_set(error, TESS_EUSAGE,
                              "--gold is held against a list of edges: give it with --network");
    return TESS_OK;
}

void tess_report_release(struct tess_report *report)
{
    tess_strings_release(&report->model);
    tess_strings_release(&report->readout);
    *report = (struct tess_report){.run = NULL};
}

/* ---- scores ---- */

/* Is there a store to score on, and the one that was trained on? What is not is no error. */
static int find_store(struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;
    struct tess_error unnamed = TESS_ERROR_INIT;
    const char *path = tess_model_store(&work->model, report->store, 1, &unnamed);
    int there = work->rank == 0 && path && access(path, F_OK) == 0;

    if (!path) {
        work->unscored = tess_format("%s.", unnamed.text);
        return TESS_OK;
    }
    MPI_Bcast(&there, 1, MPI_INT, 0, work->comm);
    if (!there && !report->store) {
        work->unscored = tess_format("The store that the model was trained on, %s, is not there: "
                                     "put it back, or name it with --store, for scores.",
                                     path);
        return TESS_OK;
    }
    if (tess_store_open(&work->store, path, work->comm, error) != TESS_OK)
        return error->code;
    work->has_store = 1;
    if (tess_model_trained_elsewhere(&work->model, work->store.index.hash,
                                     work->store.index.split_hash)) {
        if (report->store)
            tess_warn("%s is not the store that the model was trained on: what is held out there "
                      "may have been trained on",
                      path);
        else
            work->unscored = tess_format(
                "%s changed since the model was trained on it: what is held out now may have been "
                "trained on. Give --store %s to score it nevertheless.",
                path, path);
    }
    if (!work->unscored && tess_index_observed(&work->store.index, report->split) == 0)
        work->unscored = tess_format("The store holds out no experiment for this split: choose "
                                     "another with --split, or divide it with tessera split.");
    return error->code;
}

static void add(struct work *work, const char *name, json_t *part)
{
    json_object_set_new(work->page, name, part ? part : json_null());
}

/* Rank 0's. */
static void add_scores(struct work *work, const struct tess_evaluation *evaluation)
{
    json_t *scores = tess_scorecard_json(evaluation);
    int64_t readout;

    add(work, "scores", tess_sections_scores(scores));
    add(work, "values", tess_sections_values(&evaluation->spread));
    add(work, "coverage", tess_sections_coverage(&evaluation->spread, scores));
    readout = tess_sections_readout(evaluation);
    if (readout >= 0 && work->report->readout.n == 0)
        work->readout = tess_strdup(work->store.index.readout.symbol[readout]);
    json_decref(scores);
}

static int score(struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;
    const struct tess_evaluate_options options = {.split = report->split,
                                                  .n_resamples = report->n_resamples,
                                                  .n_halvings = 20,
                                                  .blend = report->blend,
                                                  .keep_values = 1};
    struct tess_evaluation evaluation = {0};

    if (find_store(work, error) != TESS_OK)
        return error->code;
    if (!work->unscored &&
        tess_evaluate_run(&evaluation, &work->store, &work->model, &options, work->comm, error) ==
            TESS_OK &&
        work->rank == 0)
        add_scores(work, &evaluation);
    tess_evaluate_release(&evaluation);
    if (work->unscored && work->rank == 0) {
        tess_warn("no scores: %s", work->unscored);
        add(work, "scores", tess_sections_missing("%s", work->unscored));
        add(work, "values", tess_sections_missing("%s", work->unscored));
        add(work, "coverage", tess_sections_missing("%s", work->unscored));
    }
    return error->code;
}

/* ---- what rank 0 makes ---- */

static json_t *versions_json(void)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    struct tess_strings line = {0};
    json_t *list = json_array();

    if (out) {
        tess_version_print(out);
        fclose(out);
        tess_strings_split(&line, text, '\n');
    }
    for (size_t i = 0; i < line.n; i++)
        json_array_append_new(list, json_string(line.item[i]));
    tess_strings_release(&line);
    free(text);
    return list;
}

static int make_sections(struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;

    add(work, "report", json_integer(1));
    add(work, "run", tess_sections_text(report->run));
    add(work, "versions", versions_json());
    add(work, "commands", tess_sections_commands(report, !work->unscored));
    add(work, "store",
        work->has_store
            ? tess_sections_store(&work->store)
            : tess_sections_missing("The store is not there, so that nothing is said of "
                                    "it."));
    add(work, "trained", tess_sections_trained(report, &work->model, error));
    if (error->code == TESS_OK)
        add(work, "curve", tess_sections_curve(&work->model, error));
    if (error->code == TESS_OK)
        add(work, "map", tess_sections_map(report, &work->model, error));
    return error->code;
}

/* What other commands wrote: before minutes go into scores. Collective. */
static int read_given(struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;
    json_t *transfer = work->rank == 0 ? tess_sections_transfer(report, error) : NULL;

    if (transfer)
        add(work, "transfer", transfer);
    if (work->rank == 0 && error->code == TESS_OK)
        add(work, "network", tess_sections_network(report, error));
    if (work->rank == 0 && error->code == TESS_OK && report->screen)
        add(work, "screen", tess_sections_screen(report->screen, NULL, "", error));
    return tess_agree(work->comm, error);
}

static void close_inputs(struct work *work)
{
    if (work->has_store)
        tess_store_release(&work->store);
    work->has_store = 0;
    tess_model_release(&work->model);
}

/* ---- the screen ---- */

/* Of the readouts that were asked for, or of the one that varies most. Collective. */
static int run_screen(struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;
    char *text = NULL, *names, *command;
    struct tess_screen screen = {.n_models = (int)report->model.n,
                                 .model = report->model.item,
                                 .text = &text,
                                 .store = report->store,
                                 .blend = report->blend,
                                 .precision = report->precision};

    for (size_t i = 0; i < report->readout.n; i++)
        tess_strings_add(&screen.readout, report->readout.item[i]);
    if (work->readout)
        tess_strings_add(&screen.readout, work->readout);
    names = tess_strings_join(&screen.readout, ",", 20);
    command = tess_sections_screen_command(report, &screen.readout);
    if (tess_screen_run(&screen, work->comm, error) == TESS_OK && work->rank == 0)
        add(work, "screen", tess_sections_screen(names, text, command, error));
    else
        free(text);
    tess_screen_release(&screen);
    tess_free(names);
    tess_free(command);
    return tess_agree(work->comm, error);
}

static int add_screen(struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;
    int known = work->readout != NULL;

    if (report->screen) /* is there already */
        return TESS_OK;
    MPI_Bcast(&known, 1, MPI_INT, 0, work->comm);
    if (known)
        tess_broadcast_text(work->comm, &work->readout);
    if (known || report->readout.n > 0)
        return run_screen(work, error);
    if (work->rank == 0)
        add(work, "screen",
            tess_sections_missing("Without held-out values no readout stands out: name one with "
                                  "--readout NAME, or give a screen with --screen FILE.tsv."));
    return error->code;
}

/* ---- files ---- */

static int check_new(const struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;

    if (work->rank == 0 && report->output)
        tess_sheet_check_new(report->output, report->force, error);
    if (work->rank == 0 && report->json)
        tess_sheet_check_new(report->json, report->force, error);
    return tess_agree(work->comm, error);
}

/* A part that JSON cannot hold would be gone without a word. */
static int check_parts(const struct work *work, struct tess_error *error)
{
    const char *name;
    json_t *part;

    json_object_foreach(work->page, name, part)
    {
        if (json_is_null(part))
            tess_error_set(error, TESS_EBUG,
                           "the report's part '%s' holds what JSON cannot: nothing is written",
                           name);
    }
    return error->code;
}

static int write_files(const struct work *work, struct tess_error *error)
{
    const struct tess_report *report = work->report;

    if (check_parts(work, error) == TESS_OK && report->json) {
        char *text = json_dumps(work->page, TESS_SECTIONS_JSON), *line = tess_format("%s\n", text);

        tess_commit_text(report->json, line, error);
        tess_free(line);
        free(text);
    }
    if (report->output && error->code == TESS_OK) {
        char *text = tess_sections_page(work->page);

        if (tess_commit_text(report->output, text, error) == TESS_OK)
            tess_info("%s: %.3g MB", report->output, (double)strlen(text) / 1e6);
        tess_free(text);
    }
    return error->code;
}

int tess_report_make(const struct tess_report *report, MPI_Comm comm, struct tess_error *error)
{
    struct work work = {.report = report, .comm = comm};

    MPI_Comm_rank(comm, &work.rank);
    work.page = work.rank == 0 ? json_object() : NULL;
    if (check_new(&work, error) == TESS_OK && read_given(&work, error) == TESS_OK &&
        tess_model_open_ensemble(&work.model, (int)report->model.n, report->model.item,
                                 report->precision, comm, error) == TESS_OK &&
        score(&work, error) == TESS_OK && work.rank == 0)
        make_sections(&work, error);
    close_inputs(&work);
    if (tess_agree(comm, error) == TESS_OK && add_screen(&work, error) == TESS_OK && work.rank == 0)
        write_files(&work, error);
    json_decref(work.page);
    tess_free(work.unscored);
    tess_free(work.readout);
    return tess_agree(comm, error);
}
