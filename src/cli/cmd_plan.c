/* cmd_plan.c -- tessera plan: what a training or an imputation will take, before it is queued. */
#include "commands.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/forecast.h"
#include "tessera/impute.h"
#include "tessera/rundir.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct tess_option options[] = {
    {"set", 's', "KEY=VALUE", "override a setting; may be given often"},
    {"ranks", 'n', "N", "ranks of the job (default 1)"},
    {"threads", 't', "T", "threads of a rank (default 1, or as OMP_NUM_THREADS says)"},
    {"nodes", 0, "M", "nodes that the ranks are spread over (default 1)"},
    {"network", 0, "LATENCY,BANDWIDTH",
     "between nodes: 2us,12GB/s (us, ms; MB/s, GB/s, Mbit/s, Gbit/s)"},
    {"rate", 0, "X", "observations a second of one core (default: measured here)"},
    {"steps", 0, "N", "steps whose messages are counted, from the first on (default 32)"},
    {"perturbations", 'p', "N|LIST",
     "how many, of data that are not there yet; with --impute: which"},
    {"readouts", 'r', "N|LIST", "likewise"},
    {"contexts", 'c', "N|LIST", "likewise"},
    {"experiments", 0, "N", "of such data (default: perturbations × contexts)"},
    {"missing", 0, "X", "share of missing values of such data (default 0)"},
    {"directory", 0, "DIR", "for data that are simulated to be measured (default TMPDIR or /tmp)"},
    {"impute", 0, NULL,
     "RUN's imputation, in place of its training; LIST and these as impute has them"},
    {"pairs", 0, "FILE|all", "combinations of two"},
    {"dtype", 0, "float32|float16", "of values (default float32)"},
    {"memory", 0, "SIZE", "at most so much of each rank (500M, 2G)"},
    {"blend", 0, "auto|on|off", "with the baseline that the training found best"},
    TESS_CALL_PRECISION,
    {"genes", 0, "N",
     "in place of a training: network infer --method direct, of N genes that are perturbed and "
     "read out; --rate is then of additions and multiplications"},
    {"json", 0, "FILE", "write all numbers there"},
    {0},
};

#define MOST ((int64_t)1 << 40)

/* A number with one of these units. Returns 0 if it is none. */
static int read_unit(const char *text, const char *const unit[], const double size[], double *x)
{
    char *end;
    double number = strtod(text, &end);

    for (int i = 0; unit[i]; i++)
        if (end > text && strcmp(end, unit[i]) == 0 && number > 0 && number < 1e12) {
            *x = number * size[i];
            return 1;
        }
    return 0;
}

static int read_network(const struct tess_call *call, struct tess_link *link,
                        struct tess_error *error)
{
    static const char *const times[] = {"ns", "us", "µs", "ms", "s", NULL};
    static const double seconds[] = {1e-9, 1e-6, 1e-6, 1e-3, 1};
    static const char *const rates[] = {"MB/s", "GB/s", "Mbit/s", "Gbit/s", NULL};
    static const double bytes[] = {1e6, 1e9, 1.25e5, 1.25e8};
    const char *text = tess_call_option(call, "network");
    struct tess_strings part = {0};

    if (!text)
        return TESS_OK;
    tess_strings_split(&part, text, ',');
    link->given = 1;
    if (part.n != 2 || !read_unit(part.item[0], times, seconds, &link->latency) ||
        !read_unit(part.item[1], rates, bytes, &link->bandwidth))
        tess_error_set(error, TESS_EUSAGE,
                       "--network: '%s' is no latency and bandwidth: give such as 2us,12GB/s or "
                       "0.1ms,10Gbit/s",
                       text);
    tess_strings_release(&part);
    return error->code;
}

/* The settings of a run are those that it used. */
static int read_config(const struct tess_call *call, struct tess_config *config,
                       struct tess_error *error)
{
    struct stat about;
    int folder = stat(call->args[0], &about) == 0 && S_ISDIR(about.st_mode);
    char *used = tess_format("%s/used.yaml", call->args[0]);

    if (folder && stat(used, &about) != 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: holds no used.yaml, so it is no run directory: name a run or a "
                       "configuration",
                       call->args[0]);
    /* value[0] is --set (the first of the table), as given: a setting may hold commas */
    if (tess_agree(call->comm, error) == TESS_OK)
        tess_config_read(config, folder ? used : call->args[0], &call->value[0], call->comm, error);
    tess_free(used);
    return error->code;
}

static int read_numbers(const struct tess_call *call, struct tess_forecast *forecast,
                        struct tess_error *error)
{
    const char *threads = getenv("OMP_NUM_THREADS");

    forecast->ranks = forecast->nodes = 1;
    forecast->threads = threads && strtol(threads, NULL, 10) > 0 ? strtol(threads, NULL, 10) : 1;
    forecast->steps = 32;
    tess_call_int(call, "ranks", 1, 65536, &forecast->ranks, error);
    tess_call_int(call, "threads", 1, 4096, &forecast->threads, error);
    tess_call_int(call, "nodes", 1, 65536, &forecast->nodes, error);
    tess_call_int(call, "steps", 1, MOST, &forecast->steps, error);
    tess_call_double(call, "rate", 1, 1e15, &forecast->rate, error);
    return error->code;
}

/* Of data that are not there. */
static int read_shape(const struct tess_call *call, struct tess_forecast_shape *shape,
                      struct tess_error *error)
{
    tess_call_int(call, "perturbations", 1, INT32_MAX, &shape->perturbations, error);
    tess_call_int(call, "readouts", 1, INT32_MAX, &shape->readouts, error);
    tess_call_int(call, "contexts", 1, INT32_MAX, &shape->contexts, error);
    tess_call_int(call, "experiments", 1, MOST, &shape->experiments, error);
    tess_call_double(call, "missing", 0, 0.999, &shape->missing, error);
    return error->code;
}

static int plan_training(struct tess_call *call, struct tess_forecast *forecast,
                         struct tess_error *error)
{
    struct tess_config config;

    forecast->config = &config;
    if (read_shape(call, &forecast->shape, error) != TESS_OK ||
        tess_forecast_check(forecast, error) != TESS_OK ||
        read_config(call, &config, error) != TESS_OK ||
        tess_call_check_more(call, config.data.store, error) != TESS_OK)
        return error->code;
    return tess_forecast_run(forecast, call->comm, error);
}

/* Whatever the output will be called: an AnnData file. */
static int read_imputation(const struct tess_call *call, struct tess_impute *impute,
                           struct tess_error *error)
{
    const char *dtype = tess_call_option(call, "dtype");

    impute->output = "imputed.h5ad";
    impute->pairs = tess_call_option(call, "pairs");
    impute->half = dtype && strcmp(dtype, "float16") == 0;
    if (dtype && !impute->half && strcmp(dtype, "float32") != 0)
        tess_error_set(error, TESS_EUSAGE, "--dtype: '%s' is none of float32, float16", dtype);
    tess_call_size(call, "memory", &impute->memory, error);
    tess_call_blend(call, &impute->blend, error);
    tess_call_precision(call, &impute->precision, error);
    tess_call_selection(call, "contexts", &impute->context, error);
    tess_call_selection(call, "perturbations", &impute->perturbation, error);
    tess_call_selection(call, "readouts", &impute->readout, error);
    return error->code;
}

static int plan_imputation(struct tess_call *call, struct tess_forecast *forecast,
                           struct tess_error *error)
{
    struct tess_impute impute = {0};
    struct tess_strings member = {0};

    if (tess_forecast_check(forecast, error) == TESS_OK &&
        read_imputation(call, &impute, error) == TESS_OK &&
        tess_call_models(call, 1, &member, error) == TESS_OK) {
        impute.n_models = (int)member.n;
        impute.model = member.item;
        tess_forecast_imputation(forecast, &impute, call->comm, error);
    }
    tess_impute_release(&impute);
    tess_strings_release(&member);
    return error->code;
}

/* Options of a training or an imputation, which a network does not have. */
static int refuse_others(const struct tess_call *call, struct tess_error *error)
{
    static const char own[] = " genes ranks rate json ";
    char *named = tess_format("%s", "");

    for (const struct tess_option *option = options; option->name; option++) {
        char *word = tess_format(" %s ", option->name), *more;

        if (tess_call_option(call, option->name) && !strstr(own, word)) {
            more = tess_format("%s%s--%s", named, named[0] ? ", " : "", option->name);
            tess_free(named);
            named = more;
        }
        tess_free(word);
    }
    if (named[0])
        tess_error_set(error, TESS_EUSAGE,
                       "plan --genes takes --ranks, --rate and --json alone: leave out %s", named);
    tess_free(named);
    return error->code;
}

static int plan_network(struct tess_call *call, struct tess_forecast *forecast,
                        struct tess_error *error)
{
    if (refuse_others(call, error) != TESS_OK)
        return error->code;
    if (tess_call_int(call, "genes", 2, INT32_MAX, &forecast->genes, error) != TESS_OK)
        return error->code;
    if (call->n_args > 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "plan --genes is not about '%s': leave one of both out",
                              call->args[0]);
    return tess_forecast_network(forecast, call->comm, error);
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_forecast forecast = {.directory = tess_call_option(call, "directory"),
                                     .json = tess_call_option(call, "json")};

    if (read_numbers(call, &forecast, error) != TESS_OK ||
        read_network(call, &forecast.network, error) != TESS_OK)
        return error->code;
    if (tess_call_option(call, "genes"))
        return plan_network(call, &forecast, error);
    if (call->n_args == 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "plan needs a configuration, a run or --genes; see tessera plan "
                              "--help");
    return tess_call_option(call, "impute") ? plan_imputation(call, &forecast, error)
                                            : plan_training(call, &forecast, error);
}

const struct tess_command tess_command_plan = {
    .name = "plan",
    .usage = "plan CONFIG|RUN --ranks N --threads T [options]\n"
             "       tessera plan --genes N [--ranks N] [--json FILE]",
    .summary = "what a training will take: memory, disk, messages, hours; which ranks suit it",
    .details =
        "Nothing is trained, and one process is enough. Memory and messages follow from the\n"
        "schedule, exactly for messages; hours from a step that is measured here for a moment, or "
        "from\n--rate. With --perturbations, --readouts and --contexts no store is needed. The "
        "table has\nthe same number of cores shared out otherwise, and fewer ranks. Between ranks "
        "of a node 1 us and\n4 GB/s are assumed, between nodes 2 us and 12.5 GB/s, unless "
        "--network "
        "says otherwise;\nunder mpirun messages are measured, between nodes if --nodes is above "
        "1. docs/scaling.md\nexplains the formulas.",
    .options = options,
    .outputs = (const char *const[]){"json", NULL},
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
