/* transfer_table.c -- what the others gave each context, as a table of text. */
#include "transfer.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/sheet.h"

#include <math.h>

static const char *const columns[] = {"context",
                                      "train_experiments",
                                      "test_experiments",
                                      "by_context_mean",
                                      "verdict",
                                      "metric",
                                      "all",
                                      "alone",
                                      "difference",
                                      "difference_low",
                                      "difference_high"};

static const struct {
    int metric;
    const char *name;
} rows[] = {{TESS_RMSE, "rmse"},
            {TESS_MAE, "mae"},
            {TESS_R2, "r2"},
            {TESS_PEARSON, "pearson"},
            {TESS_CHANGE + TESS_M_PEARSON, "pearson_delta"},
            {TESS_CHANGE + TESS_MEASURES + TESS_M_PEARSON, "pearson_ctxmean"}};

static void put_row(struct tess_sheet *sheet, const struct tess_evaluation *evaluation,
                    const struct tess_pair *pair, size_t row)
{
    const struct tess_outcome *outcome = &pair->outcome;
    const char *verdict = tess_evaluate_verdict(pair);
    int at = rows[row].metric;

    tess_sheet_text(sheet, evaluation->store->index.context.symbol[pair->context]);
    tess_sheet_count(sheet, pair->n_train);
    tess_sheet_count(sheet, pair->n);
    tess_sheet_count(sheet, pair->n_by_mean);
    tess_sheet_text(sheet, verdict ? verdict : pair->no_pair ? pair->no_pair : "");
    tess_sheet_text(sheet, rows[row].name);
    for (int column = 0; column < 5; column++) {
        const struct tess_estimate *difference = outcome->difference + TESS_METRICS + at;

        tess_sheet_number(sheet,
                          !outcome->own ? NAN
                          : column < 2  ? outcome->own[column * TESS_METRICS + at].value
                          : column < 3  ? difference->value
                          : column < 4  ? difference->low
                                        : difference->high,
                          0);
    }
    tess_sheet_end(sheet);
}

int tess_transfer_table(const struct tess_transfer *transfer,
                        const struct tess_evaluation *evaluation, struct tess_error *error)
{
    char *path = tess_format("%s/transfer.tsv", transfer->directory);
    struct tess_sheet sheet = {0};

    if (tess_sheet_open(&sheet, path, 1, error) == TESS_OK) {
        tess_sheet_head(&sheet, sizeof columns / sizeof columns[0], columns);
        for (int64_t i = 0; i < evaluation->n_pairs; i++)
            for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++)
                put_row(&sheet, evaluation, &evaluation->pair[i], row);
        tess_sheet_finish(&sheet, error);
    }
    tess_sheet_release(&sheet);
    tess_free(path);
    return error->code;
}
