/* cmd_screen.c -- tessera screen: perturbations ranked by what a model predicts of some readouts.
 */
#include "commands.h"

#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/screen.h"

#include <stdint.h>
#include <string.h>

static const struct tess_option options[] = {
    {"output", 'o', "OUT.tsv|OUT.csv|OUT.h5ad|-", "where to write (required); -: standard output"},
    {"readout", 'r', "LIST", "readouts that count alike: names, patterns, @FILE"},
    {"signature", 0, "FILE", "or readouts with weights: READOUT<TAB>WEIGHT, one a line"},
    {"score", 0, "sum|cosine",
     "weighted mean of the changes (default), or cosine of changes and weights"},
    {"direction", 0, "up|down", "which way they should go: what is ranked first (default up)"},
    {"contexts", 'c', "LIST", "which contexts (default: all that were trained)"},
    {"perturbations", 'p', "LIST",
     "which perturbations, combinations A+B among them (default: all single ones that were "
     "trained)"},
    {"type", 0, "TYPE", "only perturbations of a type (compound, CRISPRi, …)"},
    {"pairs", 0, "FILE|all",
     "pairs in their place, A<TAB>B or A+B, one a line; all: all pairs of them"},
    {"top", 0, "N", "only the first N (default: all; of all pairs a million)"},
    {"next", 0, "N",
     "in place of the ranking: the N experiments that nobody ran and that would teach most"},
    {"hits", 0, "N", "with --next: how many of a context are hits (default: a tenth)"},
    {"force", 'f', NULL, "replace an output that is there already"},
    {"store", 0, "STORE",
     "of what was measured, and of the baseline to blend with (default: the store the model was "
     "trained on)"},
    {"blend", 0, "auto|on|off",
     "with the baseline that the training found best (default auto: where it pays)"},
    TESS_CALL_PRECISION,
    {"threads", 't', "N", "threads of a rank (default: OMP_NUM_THREADS, else 1)"},
    {0},
};

/* Which of two words an option has; 0 if it was not given. */
static int read_word(const struct tess_call *call, const char *name, const char *const word[2],
                     int *second, struct tess_error *error)
{
    const char *given = tess_call_option(call, name);

    *second = given && strcmp(given, word[1]) == 0;
    if (given && !*second && strcmp(given, word[0]) != 0)
        tess_error_set(error, TESS_EUSAGE, "--%s: '%s' is neither %s nor %s", name, given, word[0],
                       word[1]);
    return error->code;
}

static int read_options(const struct tess_call *call, struct tess_screen *screen,
                        struct tess_error *error)
{
    static const char *const scores[2] = {"sum", "cosine"}, *const directions[2] = {"up", "down"};

    screen->output = tess_call_option(call, "output");
    screen->signature = tess_call_option(call, "signature");
    screen->type = tess_call_option(call, "type");
    screen->pairs = tess_call_option(call, "pairs");
    screen->all_pairs = screen->pairs && strcmp(screen->pairs, "all") == 0;
    screen->pairs = screen->all_pairs ? NULL : screen->pairs;
    screen->store = tess_call_option(call, "store");
    screen->force = tess_call_option(call, "force") != NULL;
    read_word(call, "score", scores, &screen->cosine, error);
    read_word(call, "direction", directions, &screen->down, error);
    tess_call_selection(call, "readout", &screen->readout, error);
    tess_call_selection(call, "contexts", &screen->context, error);
    tess_call_selection(call, "perturbations", &screen->perturbation, error);
    tess_call_blend(call, &screen->blend, error);
    tess_call_precision(call, &screen->precision, error);
    tess_call_int(call, "top", 1, INT64_MAX, &screen->top, error);
    tess_call_int(call, "next", 1, INT64_MAX, &screen->next, error);
    tess_call_int(call, "hits", 1, INT64_MAX, &screen->hits, error);
    if (error->code == TESS_OK && screen->hits > 0 && screen->next == 0)
        tess_error_set(error, TESS_EUSAGE, "--hits is for --next");
    tess_call_int(call, "threads", 1, 4096, &screen->threads, error);
    if (error->code == TESS_OK && screen->top > 0 && screen->next > 0)
        tess_error_set(error, TESS_EUSAGE, "--next says how many lines there are: leave --top out");
    if (screen->pairs && screen->perturbation.n > 0)
        tess_error_set(error, TESS_EUSAGE, "--pairs stands in the place of --perturbations");
    return error->code == TESS_OK ? tess_screen_check(screen, error) : error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    char *command = tess_call_text(call);
    struct tess_screen screen = {.command = command};
    struct tess_strings member = {0};

    if (tess_call_models(call, call->n_args, &member, error) == TESS_OK) {
        screen.n_models = (int)member.n;
        screen.model = member.item;
    }
    if (error->code == TESS_OK &&
        read_options(call, &screen, error) == TESS_OK) /* the same on every rank */
        tess_screen_run(&screen, call->comm, error);
    tess_screen_release(&screen);
    tess_strings_release(&member);
    tess_free(command);
    return error->code;
}

const struct tess_command tess_command_screen = {
    .name = "screen",
    .usage = "screen RUN|CHECKPOINT… --readout LIST|--signature FILE -o OUT.tsv|OUT.csv|OUT.h5ad|- "
             "[options]",
    .summary = "perturbations ranked by the change predicted of some readouts",
    .details =
        "A perturbation's score in a context is the weighted mean of its readouts' changes "
        "against\n"
        "the context's control (a model without one has learned changes: values are taken as they\n"
        "are), or the cosine between changes and weights; over contexts it is the mean. Columns:\n"
        "change, the score; std, that of the models' scores (several seeds, or the members of one\n"
        "run); z, in standard deviations of all that are screened; agreement, the share of "
        "contexts\n"
        "where it goes the way asked for; measured, the score as measured, over the contexts "
        "where\n"
        "it was (measured_in of them); trained, whether it was trained on in a context that is\n"
        "screened (here), in others (elsewhere), or never. A .h5ad has these in obs, and the score "
        "in each\ncontext as X.\n"
        "--next lists experiments that are not in the store by what measuring them would gain: "
        "large\nwhere models disagree (std) whether a perturbation is among a context's hits; "
        "docs/discovery.md\nhas the formula.",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
