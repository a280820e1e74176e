/* edges.c -- lists of edges, and known networks to score them by. */
#include "fuzz.h"

#include "tessera/edge_list.h"
#include "tessera/error.h"
#include "tessera/gold.h"

#include <math.h>
#include <stdio.h>

const int fuzz_needs = FUZZ_NOTHING;

static const char known[] = "regulator\ttarget\nA\tB\nB\tC\n";

void fuzz_one(const uint8_t *data, size_t n)
{
    struct tess_error error = TESS_ERROR_INIT;
    char edges[256];
    struct tess_gold gold = {.edges = edges, .n_depths = 1, .depth = {2}};

    snprintf(edges, sizeof edges, "%s", fuzz_file("edges.tsv", data, n));
    gold.path = fuzz_file("known.tsv", known, sizeof known - 1);
    if (tess_gold_score(&gold, &error) == TESS_OK)
        FUZZ_CHECK(isnan(gold.auroc) || (gold.auroc >= 0 && gold.auroc <= 1));
    else
        fuzz_refused(&error, TESS_EDATA, "edges.tsv");
    error = (struct tess_error)TESS_ERROR_INIT;
    gold.path = edges;
    if (tess_gold_score(&gold, &error) != TESS_OK)
        fuzz_refused(&error, TESS_EDATA, "edges.tsv");
}
