/* features.c -- side features of symbols, as text. The first byte chooses the number of axes. */
#include "fuzz.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/feature_file.h"
#include "tessera/vocab.h"

#include <mpi.h>
#include <math.h>

const int fuzz_needs = FUZZ_MPI;

static const char *const symbols[] = {"A", "B", "C", "KO_D", "compound:E", "control"};
enum { N = 6 };

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_feature_file file = {.kind = "perturbation", .axes = 1 + chosen % 8};
    struct tess_features features = {.k = 0};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_vocab vocab;

    tess_vocab_init(&vocab, N, symbols, NULL);
    file.path = fuzz_file("features.tsv", data, n);
    if (tess_feature_file_read(&features, &file, &vocab, MPI_COMM_SELF, &error) == TESS_OK) {
        FUZZ_CHECK(features.n == N && features.k >= 0 && features.k <= file.axes);
        for (int64_t i = 0; i < N * features.k; i++)
            FUZZ_CHECK(isfinite(features.value[i]) ||
                       isnan(features.value[i / features.k * features.k]));
    } else
        fuzz_refused(&error, TESS_EDATA, "features.tsv");
    tess_free(features.value);
    tess_vocab_release(&vocab);
}
