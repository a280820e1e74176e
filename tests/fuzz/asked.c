/* asked.c -- files that say what a trained model is asked for, or held against. FUZZ_ASKED says
 * which: 'q' queries, 's' a signature of readouts, 't' triples, 'p' known pairs, 'e' predictions to
 * be scored. Model and store are those of seeds.sh. */
#include "fuzz.h"

#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/impute.h"
#include "tessera/model.h"
#include "tessera/neighbors.h"
#include "tessera/queries.h"
#include "tessera/screen.h"
#include "tessera/store.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_MPI;

static char trained[512], measured[512], asked[256], answer[256];
static char *const models[] = {trained};
static struct tess_model model;
static struct tess_store store;

void fuzz_begin(void)
{
    struct tess_error error = TESS_ERROR_INIT;
    const char *seeds = getenv("TESS_FUZZ_SEEDS");

    FUZZ_CHECK(seeds);
    snprintf(trained, sizeof trained, "%s/best.h5", seeds);
    snprintf(measured, sizeof measured, "%s/store.prc.h5", seeds);
    if (FUZZ_ASKED == 'p')
        tess_model_open(&model, trained, TESS_PRECISION_FLOAT32, MPI_COMM_SELF, &error);
    if (FUZZ_ASKED == 'e')
        tess_store_open(&store, measured, MPI_COMM_SELF, &error);
    FUZZ_CHECK(error.code == TESS_OK);
}

static void queries(unsigned chosen, struct tess_error *error)
{
    struct tess_queries queries = {.n_models = 1,
                                   .model = models,
                                   .input = asked,
                                   .output = answer,
                                   .store = measured,
                                   .blend = TESS_BLEND_OFF,
                                   .unknown = (int)chosen & 1,
                                   .force = 1};

    tess_queries_run(&queries, MPI_COMM_SELF, error);
}

static void signature(unsigned chosen, struct tess_error *error)
{
    char *text = NULL;
    struct tess_screen screen = {.n_models = 1,
                                 .model = models,
                                 .text = &text,
                                 .store = measured,
                                 .signature = chosen & 2 ? NULL : asked,
                                 .pairs = chosen & 2 ? asked : NULL,
                                 .cosine = (int)chosen & 1,
                                 .blend = TESS_BLEND_OFF};

    if (chosen & 2)
        tess_strings_add(&screen.readout, "*");
    tess_screen_run(&screen, MPI_COMM_SELF, error);
    tess_screen_release(&screen);
    free(text);
}

static void triples(struct tess_error *error)
{
    struct tess_impute impute = {.n_models = 1,
                                 .model = models,
                                 .output = answer,
                                 .store = measured,
                                 .triples = asked,
                                 .blend = TESS_BLEND_OFF,
                                 .replace = 1,
                                 .fresh = 1};

    tess_impute_write(&impute, MPI_COMM_SELF, error);
}

static void pairs(unsigned chosen, struct tess_error *error)
{
    struct tess_strings all = {0};
    struct tess_neighbors neighbors = {.of = &all,
                                       .k = 3,
                                       .vectors = (int)chosen & 1,
                                       .center = (int)(chosen >> 1 & 3) % 3,
                                       .pairs = asked,
                                       .resamples = 2,
                                       .output = answer,
                                       .force = 1};

    tess_neighbors_run(&neighbors, &model, MPI_COMM_SELF, error);
}

static void predictions(unsigned chosen, struct tess_error *error)
{
    struct tess_evaluate_options options = {.split = TESS_TEST,
                                            .n_resamples = 1,
                                            .n_halvings = 1,
                                            .predictions = asked,
                                            .epistasis = (int)chosen & 1,
                                            .strata = (int)chosen >> 1 & 1};
    struct tess_evaluation evaluation = {0};

    tess_evaluate_run(&evaluation, &store, NULL, &options, MPI_COMM_SELF, error);
    tess_evaluate_release(&evaluation);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_error error = TESS_ERROR_INIT;

    snprintf(answer, sizeof answer, "%s",
             fuzz_file(FUZZ_ASKED == 't' ? "answer.h5ad" : "answer.tsv", "", 0));
    snprintf(asked, sizeof asked, "%s", fuzz_file("asked.tsv", data, n));
    if (FUZZ_ASKED == 'q')
        queries(chosen, &error);
    else if (FUZZ_ASKED == 's')
        signature(chosen, &error);
    else if (FUZZ_ASKED == 't')
        triples(&error);
    else if (FUZZ_ASKED == 'p')
        pairs(chosen, &error);
    else
        predictions(chosen, &error);
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_EUSAGE, "asked.tsv");
}
