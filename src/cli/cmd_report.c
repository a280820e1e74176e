/* cmd_report.c -- tessera report: a page of pictures of a run. */
#include "commands.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/report.h"
#include "tessera/split_name.h"

static const struct tess_option options[] = {
    {"output", 'o', "REPORT.html", "where to write the page"},
    {"json", 0, "FILE", "write the page's numbers there, too, for tools/plot.py"},
    {"pairs", 0, "FILE",
     "perturbations that belong together are joined in the map: perturbation<tab>target"},
    {"readout", 'r', "LIST",
     "whose screen is shown (default: the one whose held-out values vary most)"},
    {"screen", 0, "FILE.tsv", "or a finished screen, of tessera screen"},
    {"network", 0, "EDGES.tsv", "edges that are shown, of tessera network infer"},
    {"gold", 0, "FILE", "and what they are held against, as for tessera network evaluate"},
    {"split", 0, "train|val|test", "whose experiments are scored (default test)"},
    {"store", 0, "STORE", "measured data (default: the store that the model was trained on)"},
    {"resamples", 0, "N", "of perturbations, for the intervals (default 1000)"},
    {"blend", 0, "auto|on|off",
     "with the baseline that the training found best (default auto: where it pays)"},
    TESS_CALL_PRECISION,
    {"force", 'f', NULL, "replace files that are there already"},
    {0},
};

/* The options that tessera evaluate and tessera screen have, too, as they were given. */
static char *shared_text(const struct tess_call *call)
{
    static const char *const name[] = {"store", "blend", "precision"};
    char *all = tess_strdup("");

    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++) {
        const char *value = tess_call_option(call, name[i]);
        char *quoted = value ? tess_text_quoted(value) : NULL,
             *longer = value ? tess_format("%s --%s=%s", all, name[i], quoted) : tess_strdup(all);

        tess_free(quoted);
        tess_free(all);
        all = longer;
    }
    return all;
}

static int read_options(const struct tess_call *call, struct tess_report *report,
                        struct tess_error *error)
{
    const char *split = tess_call_option(call, "split");

    report->run = call->args[0];
    report->given = call->args;
    report->n_given = call->n_args;
    report->output = tess_call_option(call, "output");
    report->json = tess_call_option(call, "json");
    report->pairs = tess_call_option(call, "pairs");
    report->screen = tess_call_option(call, "screen");
    report->network = tess_call_option(call, "network");
    report->gold = tess_call_option(call, "gold");
    report->store = tess_call_option(call, "store");
    report->force = tess_call_option(call, "force") != NULL;
    report->split = split ? tess_split_parse(split) : TESS_TEST;
    if (report->split < 0 || report->split == TESS_UNUSED)
        return tess_error_set(error, TESS_EUSAGE, "--split: '%s' is none of train, val, test",
                              split);
    report->n_resamples = 1000;
    tess_call_int(call, "resamples", 1, 1000000, &report->n_resamples, error);
    tess_call_selection(call, "readout", &report->readout, error);
    tess_call_blend(call, &report->blend, error);
    tess_call_precision(call, &report->precision, error);
    return error->code == TESS_OK ? tess_report_check(report, error) : error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_report report = {.run = NULL};
    char *command = tess_call_text(call), *shared = shared_text(call);

    report.command = command;
    report.options = shared;
    if (read_options(call, &report, error) == TESS_OK && /* the same on every rank */
        tess_call_models(call, call->n_args, &report.model, error) == TESS_OK)
        tess_report_make(&report, call->comm, error);
    tess_report_release(&report);
    tess_free(command);
    tess_free(shared);
    return error->code;
}

const struct tess_command tess_command_report = {
    .name = "report",
    .usage = "report RUN|CHECKPOINT… -o REPORT.html [--json FILE] [options]",
    .summary = "one page of pictures: training, scores, map, screen, network",
    .details =
        "The page is one file without anything from elsewhere: what was trained on what, the "
        "curve of\nthe training, scores beside baselines and noise ceiling, by context, measured "
        "beside predicted\nvalues, the map of perturbations, a screen, a network, how often the "
        "members' deviation is\nright. Every picture's numbers can be saved as TSV. The model is "
        "scored as by tessera evaluate.\nWhat there are no data for is a sentence that says how to "
        "get them. tools/plot.py makes the same\npictures for papers. docs/report.md has more.",
    .options = options,
    .outputs = (const char *const[]){"output", "json", NULL},
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
