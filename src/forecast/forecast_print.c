/* forecast_print.c -- a forecast as a page, and as JSON. */
#include "forecast.h"

#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/version.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const memory_names[] = {"data", "model", "lanes", "index", "libraries"};
static const char *const sources[] = {"assumed", "given", "measured"};

static const double *memory_parts(const struct tess_trainer_memory *memory)
{
    return &memory->data; /* doubles alone, in the order of memory_names */
}

static void print_bytes(const char *what, double bytes)
{
    int unit = bytes < 1e3 ? 0 : bytes < 1e6 ? 1 : bytes < 1e9 ? 2 : bytes < 1e12 ? 3 : 4;
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    static const double size[] = {1, 1e3, 1e6, 1e9, 1e12};

    printf("%s%.3g %s", what, bytes / size[unit], units[unit]);
}

static void print_training(const struct forecast *f)
{
    const struct tess_trainer *trainer = &f->trainer;
    const struct tess_config *config = &trainer->config;
    static const char *const kinds[] = {"mlp", "dot", "cp"};

    printf("%s: %lld perturbations, %lld readouts, %lld contexts\n",
           trainer->store.h5.path ? trainer->store.h5.path : "data that are not there",
           (long long)trainer->store.index.perturbation.n, (long long)trainer->dataset.readout.n,
           (long long)trainer->store.index.context.n);
    printf("%s of 3×%d, %d hidden layers of %d: %lld parameters of the network\n",
           kinds[trainer->shape.kind], trainer->shape.dim, trainer->shape.layers,
           trainer->shape.hidden, (long long)tess_shape_size(trainer->shape));
    printf("%lld epochs of %.4g observations, %lld steps of %lld in %lld lanes",
           (long long)config->train.epochs, f->basis.observations, (long long)f->basis.steps,
           (long long)trainer->schedule.batch, (long long)trainer->schedule.lanes);
    if (config->train.members > 1)
        printf("; %lld members, %d at a time", (long long)config->train.members,
               f->members_at_once);
    printf("\n\n");
}

static void print_link(const char *where, const struct tess_link *link)
{
    printf("%-24s %.3g µs, %.3g GB/s (%s)\n", where, link->latency * 1e6, link->bandwidth * 1e-9,
           sources[link->given]);
}

static void print_basis(const struct forecast *f)
{
    const struct tess_bench_step *one = &f->basis.one;
    double seconds = one->begun;

    for (int s = 0; s < TESS_N_STAGES; s++)
        seconds += one->stage[s];
    printf("%-24s %.0f k observations/s of one core (%s", "rate", one->observations / seconds / 1e3,
           f->basis.given ? "given" : "measured here");
    if (f->basis.n_many > 1)
        printf(", and with %d cores", f->basis.n_many);
    printf(")\n");
    print_link("between ranks of a node", &f->basis.within);
    if (f->basis.nodes > 1)
        print_link("between nodes", &f->basis.between);
    printf("\n");
}

static void print_memory(const struct forecast *f)
{
    const struct estimate *e = &f->layout[f->asked];
    const double *part = memory_parts(&e->most);

    printf("%d rank%s × %d thread%s on %d node%s%s\n", e->ranks, e->ranks == 1 ? "" : "s",
           e->threads, e->threads == 1 ? "" : "s", f->basis.nodes, f->basis.nodes == 1 ? "" : "s",
           f->members_at_once > 1 ? ", for each member" : "");
    print_bytes("  memory of each rank    ", e->memory);
    for (int i = 0; i < 5; i++) {
        printf("%s%s ", i ? ", " : " (", memory_names[i]);
        print_bytes("", part[i]);
    }
    print_bytes(")\n  disk                   ", f->disk + f->log);
    printf(" (%lld checkpoint%s, the best one, and one being written, ",
           (long long)f->trainer.config.checkpoint.keep,
           f->trainer.config.checkpoint.keep == 1 ? "" : "s");
    print_bytes("", f->checkpoint);
    print_bytes(" each; log ", f->log);
    printf(")\n");
}

static void print_traffic(const struct forecast *f)
{
    const struct traffic *t = &f->traffic;
    double steps = (double)t->n_steps;

    printf("  a step sends (mean of the first %lld)\n%28s%16s%12s%16s%12s\n", (long long)t->n_steps,
           "", "bytes, all", "messages", "bytes, a rank", "messages");
    for (int k = 0; k < TRAFFIC_KINDS; k++)
        printf("    %-24s%16.0f%12.1f%16.0f%12.1f\n", tess_traffic_names[k],
               (double)tess_traffic_sum(t, t->bytes, k) / steps,
               (double)tess_traffic_sum(t, t->messages, k) / steps,
               (double)tess_traffic_most(t, t->bytes, k) / steps,
               (double)tess_traffic_most(t, t->messages, k) / steps);
}

static void print_time(const struct forecast *f)
{
    const struct estimate *e = &f->layout[f->asked];

    printf("  a step takes           %.3g ms:", e->step * 1e3);
    for (int i = 0; i < LIMITS; i++)
        printf(" %s %.3g ms%s", tess_limit_names[i], e->part[i] * 1e3, i + 1 < LIMITS ? "," : "");
    printf("\n  observations/s         %.0f k\n", e->rate / 1e3);
    printf("  hours                  %.3g for %.0f epochs%s, %.0f %% of it validation\n", e->hours,
           f->basis.epochs, f->trainer.config.train.patience > 0 ? " at most" : "",
           100 * e->validation / (e->validation + f->basis.steps * e->step));
    printf("  limited by             %s\n\n", tess_limit_names[e->limit]);
}

static void print_layouts(const struct forecast *f)
{
    printf("%7s%9s%18s%14s%12s  %s\n", "ranks", "threads", "k observations/s", "hours",
           "memory, GB", "limited by");
    for (int i = 0; i < f->n; i++) {
        const struct estimate *e = &f->layout[i];

        printf("%7d%9d%18.0f%14.3g%12.3g  %s%s%s\n", e->ranks, e->threads, e->rate / 1e3, e->hours,
               e->memory / 1e9, tess_limit_names[e->limit], i == f->asked ? "  (asked about)" : "",
               i == f->best ? "  ← best" : "");
    }
}

void tess_forecast_print(const struct forecast *f)
{
    print_training(f);
    print_basis(f);
    print_memory(f);
    print_traffic(f);
    print_time(f);
    print_layouts(f);
    fflush(stdout);
}

static json_t *json_layout(const struct estimate *e)
{
    const double *part = memory_parts(&e->most);
    json_t *memory = json_object(), *step = json_object();

    for (int i = 0; i < 5; i++)
        json_object_set_new(memory, memory_names[i], json_real(part[i]));
    for (int i = 0; i < LIMITS; i++)
        json_object_set_new(step, tess_limit_names[i], json_real(e->part[i]));
    return json_pack("{s:i, s:i, s:f, s:o, s:f, s:o, s:f, s:f, s:f, s:s}", "ranks", e->ranks,
                     "threads", e->threads, "memory_bytes", e->memory, "memory", memory,
                     "step_seconds", e->step, "step", step, "validation_seconds", e->validation,
                     "observations_per_s", e->rate, "hours", e->hours, "limited_by",
                     tess_limit_names[e->limit]);
}

/* Whole numbers: of each rank, in all of the steps that were counted. */
static json_t *json_traffic(const struct traffic *t)
{
    json_t *kinds = json_object();

    for (int k = 0; k < TRAFFIC_KINDS; k++) {
        json_t *bytes = json_array(), *messages = json_array();

        for (int r = 0; r < t->n_ranks; r++) {
            json_array_append_new(bytes, json_integer(t->bytes[r][k]));
            json_array_append_new(messages, json_integer(t->messages[r][k]));
        }
        json_object_set_new(kinds, tess_traffic_names[k],
                            json_pack("{s:o, s:o}", "bytes", bytes, "messages", messages));
    }
    return json_pack("{s:I, s:o}", "steps", (json_int_t)t->n_steps, "ranks_send", kinds);
}

static json_t *json_link(const struct tess_link *link)
{
    return json_pack("{s:f, s:f, s:s}", "latency", link->latency, "bandwidth", link->bandwidth,
                     "from", sources[link->given]);
}

static json_t *json_rate(const struct estimate_basis *basis)
{
    json_t *stages = json_object();
    static const char *const names[] = {"prepare", "read",   "gather",   "lanes",
                                        "wait",    "reduce", "optimise", "share"};

    for (int s = 0; s < TESS_N_STAGES; s++)
        json_object_set_new(stages, names[s],
                            json_pack("[f, f]", basis->one.stage[s], basis->many.stage[s]));
    return json_pack("{s:s, s:i, s:f, s:f, s:o}", "from", basis->given ? "given" : "measured",
                     "cores", basis->n_many, "observations", basis->one.observations,
                     "validation_seconds_a_value", basis->one.validation, "stage_seconds", stages);
}

int tess_forecast_write(const struct forecast *f, const char *path, struct tess_error *error)
{
    json_t *layouts = json_array(), *all;
    char *text;

    for (int i = 0; i < f->n; i++)
        json_array_append_new(layouts, json_layout(&f->layout[i]));
    all = json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o}", "version",
                    TESS_VERSION, "asked", f->asked, "best", f->best, "steps_per_epoch",
                    f->basis.steps, "epochs", f->basis.epochs, "observations_per_epoch",
                    f->basis.observations, "disk_bytes", f->disk + f->log, "checkpoint_bytes",
                    f->checkpoint, "traffic", json_traffic(&f->traffic), "within_node",
                    json_link(&f->basis.within), "between_nodes", json_link(&f->basis.between),
                    "rate", json_rate(&f->basis), "layouts", layouts);
    text = json_dumps(all, JSON_INDENT(2));
    tess_commit_text(path, text, error);
    free(text); /* Jansson's own */
    json_decref(all);
    return error->code;
}
