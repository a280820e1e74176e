/* hdf5.c -- files of HDF5 that lie (recipe.h), read by everything that reads their kind. FUZZ_SEED
 * is the name of the whole file, in the folder that TESS_FUZZ_SEEDS names; FUZZ_KIND says who reads
 * it: 's' a store, 'c' a checkpoint, 'm' a matrix of values. */
#include "fuzz.h"
#include "look.h"
#include "recipe.h"

#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/h5ad.h"
#include "tessera/info.h"
#include "tessera/model.h"
#include "tessera/problems.h"
#include "tessera/source_open.h"
#include "tessera/store.h"
#include "tessera/sums.h"
#include "tessera/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const int fuzz_needs = FUZZ_PROCESS;

static void *seed;
static size_t n_seed;
static char path[512];

static void *read_file(const char *name, size_t *n)
{
    FILE *file = fopen(name, "rb");
    char *data;

    FUZZ_CHECK(file);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    data = malloc(*n + 1);
    FUZZ_CHECK(data && fread(data, 1, *n, file) == *n);
    fclose(file);
    return data;
}

void fuzz_begin(void)
{
    FUZZ_CHECK(getenv("TESS_FUZZ_SEEDS"));
    snprintf(path, sizeof path, "%s/%s", getenv("TESS_FUZZ_SEEDS"), FUZZ_SEED);
    seed = read_file(path, &n_seed);
    fuzz_recipe_learn(path);
}

/* A sidecar that fits what the file is now (checksums.h): it lies, but it is whole. */
static void seal(void)
{
    char text[4096], of_file[512], *data;
    size_t n, used;

    snprintf(of_file, sizeof of_file, "%s", path);
    data = read_file(of_file, &n);
    used = (size_t)snprintf(text, sizeof text, "tessera-sums 1\nbytes %zu\n", n);
    for (size_t at = 0; at < n; at += TESS_SUMS_BLOCK) {
        size_t length = n - at < TESS_SUMS_BLOCK ? n - at : TESS_SUMS_BLOCK;

        FUZZ_CHECK(used + 64 < sizeof text);
        used += (size_t)snprintf(text + used, 32, "%016" PRIx64 "\n",
                                 (uint64_t)XXH3_64bits(data + at, length));
    }
    used += (size_t)snprintf(text + used, 32, "end %016" PRIx64 "\n",
                             (uint64_t)XXH3_64bits(text, used));
    free(data);
    fuzz_file(FUZZ_SEED ".sum", text, used);
}

static void check(struct tess_error *error)
{
    if (error->code != TESS_OK)
        fuzz_refused(error, TESS_EDATA, FUZZ_SEED);
    *error = (struct tess_error)TESS_ERROR_INIT;
}

static void look_at_matrix(void)
{
    static const struct tess_source_options options = {.find_split = 1};
    struct tess_problems problems = {.limit = 20};
    struct tess_error error = TESS_ERROR_INIT;

    fuzz_look_at_source(path, &options, &problems, &error);
    check(&error);
    tess_problems_release(&problems);
    json_decref(tess_h5ad_info(path, &error));
    check(&error);
}

static void look_at_store(void)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_store store;
    float *value;

    if (tess_store_open(&store, path, MPI_COMM_SELF, &error) != TESS_OK) {
        check(&error);
        return;
    }
    value = tess_alloc_large(
        (size_t)(store.index.value_first[store.index.n_experiments] +
                 store.index.fold_value_first[store.index.fold_first[store.index.n_experiments]] +
                 1),
        sizeof *value, FUZZ_SEED, &error);
    if (value) {
        tess_store_read_values(&store, 0, store.index.n_experiments, value, &error);
        check(&error);
        tess_store_read_folds(&store, 0, store.index.fold_first[store.index.n_experiments], value,
                              &error);
        check(&error);
    }
    json_decref(tess_info_store(&store));
    tess_store_verify(&store, &error);
    check(&error);
    tess_free(value);
    tess_store_release(&store);
}

static void look_at_checkpoint(void)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_model model = {.n_members = 0};
    int64_t first[] = {0, 1}, none = 0, readout = 0;
    float out[1];

    if (tess_model_open(&model, path, TESS_PRECISION_FLOAT32, MPI_COMM_SELF, &error) == TESS_OK &&
        model.perturbation.n > 0 && model.context.n > 0 && model.readout.n > 0) {
        struct tess_rows rows = {1, first, &none, &none};
        struct tess_model_columns columns = {.n_readouts = 1, .readout = &readout, .out = out};

        tess_model_predict(&model, &rows, &columns, &error);
    }
    check(&error);
    tess_model_release(&model);
    json_decref(tess_checkpoint_info(path, &error));
    check(&error);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    char *recipe = fuzz_text(data, n);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_verified verified = {.right = {0}};

    snprintf(path, sizeof path, "%s", fuzz_file(FUZZ_SEED, seed, n_seed));
    fuzz_recipe_apply(path, recipe);
    seal();
    if (FUZZ_KIND == 's')
        look_at_store();
    else if (FUZZ_KIND == 'c')
        look_at_checkpoint();
    else
        look_at_matrix();
    tess_info_kind(path, &error);
    check(&error);
    tess_verify(path, MPI_COMM_SELF, &verified, &error);
    check(&error);
    tess_verified_release(&verified);
    free(recipe);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned start);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned start)
{
    return fuzz_recipe_mutate((char *)data, n, room, start);
}
