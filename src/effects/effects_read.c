/* effects_read.c -- rank 0 reads rows of a store or of a file and deals their columns out. */
#include "effects_plan.h"

#include "tessera/predicted.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/genes.h"
#include "tessera/intern.h"
#include "tessera/source_open.h"
#include "tessera/spool.h"
#include "tessera/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 64 /* of a store */

/* Either of both inputs, seen as rows with labels. Rank 0's. */
struct reader {
    const struct tess_regulation_options *options;
    const struct tess_model *model; /* that completes rows, or NULL; borrowed */
    int is_store, is_open;
    struct tess_store store;
    struct tess_source source;
    struct tess_source_options source_options;
    struct tess_spools spools;
    struct tess_problems problems;
    struct tess_column perturbation, context;
    struct tess_block block;
    int64_t n_rows, rows_at_once, n_readouts;
    const char *const *readout; /* (n_readouts) borrowed */
    int64_t *place; /* (n_rows) row of the effects, or TESS_LEFT_OUT; own */
    int64_t *from; /* (t) the input's readout of each target; own */
    float *dense; /* (rows_at_once, n_readouts) own */
};

static int open_file(struct reader *reader, struct tess_error *error)
{
    struct tess_source *source = &reader->source;

    reader->source_options =
        (struct tess_source_options){.spools = &reader->spools, .find_split = 1};
    tess_strings_add(&reader->source_options.perturbation, "perturbation");
    tess_strings_add(&reader->source_options.context, "context");
    if (tess_source_open(source, reader->options->input, &reader->source_options, &reader->problems,
                         error) != TESS_OK)
        return error->code;
    reader->is_open = 1;
    if (tess_source_read_column(source, "perturbation", &reader->perturbation, error) != TESS_OK ||
        tess_source_read_column(source, "context", &reader->context, error) != TESS_OK)
        return error->code;
    reader->n_rows = source->n_rows;
    reader->rows_at_once = source->rows_at_once < 1 ? 1 : source->rows_at_once;
    reader->n_readouts = source->n_readouts;
    reader->readout = (const char *const *)source->readout.item;
    return TESS_OK;
}

static int open_store(struct reader *reader, struct tess_error *error)
{
    if (tess_store_open(&reader->store, reader->options->input, MPI_COMM_SELF, error) != TESS_OK)
        return error->code;
    reader->is_open = 1;
    reader->n_rows = reader->store.index.n_experiments;
    reader->rows_at_once = ROWS_AT_ONCE;
    reader->n_readouts = reader->store.index.readout.n;
    reader->readout = reader->store.index.readout.symbol;
    return TESS_OK;
}

static void release(struct reader *reader)
{
    if (reader->is_open && reader->is_store)
        tess_store_release(&reader->store);
    if (reader->is_open && !reader->is_store)
        tess_source_release(&reader->source);
    tess_strings_release(&reader->source_options.perturbation);
    tess_strings_release(&reader->source_options.context);
    tess_spools_release(&reader->spools);
    tess_problems_release(&reader->problems);
    tess_column_release(&reader->perturbation);
    tess_column_release(&reader->context);
    tess_block_release(&reader->block);
    tess_free(reader->place);
    tess_free(reader->from);
    tess_free(reader->dense);
}

/* ---- labels ---- */

/* NULL: missing. */
static const char *context_of(const struct reader *reader, int64_t row)
{
    int64_t code =
        reader->is_store ? reader->store.index.context_of[row] : (int64_t)reader->context.code[row];

    return code < 0           ? NULL
           : reader->is_store ? reader->store.index.context.symbol[code]
                              : reader->context.level[code];
}

/* The perturbation's text; own of the caller; NULL: missing. */
static char *perturbation_of(const struct reader *reader, int64_t row)
{
    int64_t code = reader->is_store ? 0 : (int64_t)reader->perturbation.code[row];

    if (reader->is_store)
        return tess_index_combination_name(&reader->store.index,
                                           reader->store.index.combination[row]);
    return code < 0 ? NULL : tess_strdup(reader->perturbation.level[code]);
}

/* What a row is of: a knock-out, a knock-down, or neither (TESS_LEFT_OUT). */
static int kind_of(const struct reader *reader, int64_t row)
{
    const char *context = context_of(reader, row);

    if (context && strcmp(context, reader->options->context) == 0)
        return TESS_KNOCKOUT;
    if (context && reader->options->knockdown && strcmp(context, reader->options->knockdown) == 0)
        return TESS_KNOCKDOWN;
    return TESS_LEFT_OUT;
}

static int refuse_context(const struct reader *reader, const char *name, struct tess_error *error)
{
    struct tess_strings there = {0};
    struct tess_intern seen = {0};
    char *list;

    for (int64_t row = 0; row < reader->n_rows; row++) {
        const char *context = context_of(reader, row);
        int64_t before = seen.n;

        if (context && tess_intern_add(&seen, context, strlen(context)) == before)
            tess_strings_add(&there, context);
    }
    list = tess_strings_join(&there, ", ", 10);
    tess_error_set(error, TESS_EDATA, "%s: no context '%s'; there %s%s", reader->options->input,
                   name, there.n > 0 ? "are: " : "is no row with a context", list);
    tess_free(list);
    tess_strings_release(&there);
    tess_intern_release(&seen);
    return error->code;
}

/* ---- which row goes where ---- */

static void label_row(struct reader *reader, struct tess_effects_plan *plan, int64_t row,
                      struct tess_effects *effects)
{
    int kind = kind_of(reader, row);
    char *text = kind == TESS_LEFT_OUT ? NULL : perturbation_of(reader, row);

    tess_effects_plan_label(plan, row, kind, text, effects);
    effects->n_unlabelled += context_of(reader, row) == NULL;
    tess_free(text);
}

/* Has a component of the model a gene that may be completed? It has, if it was trained. */
static const char *component_gene(const struct reader *reader, int64_t component,
                                  const struct tess_intern *readouts)
{
    const char *symbol = reader->model->perturbation.symbol[component];

    return !reader->model->trained_perturbation[component] || tess_gene_is_control(symbol)
               ? NULL
               : tess_gene_of(symbol, readouts);
}

static void label_components(const struct reader *reader, struct tess_effects_plan *plan)
{
    for (int64_t c = 0; reader->model && c < reader->model->perturbation.n; c++) {
        const char *gene = component_gene(reader, c, &plan->readouts);

        if (gene)
            tess_intern_add(&plan->regulators, gene, strlen(gene));
    }
}

/* Of several components of a gene the first completes its row: a loss, if there is one. */
static void match_components(const struct reader *reader, const struct tess_intern *readouts,
                             struct tess_effects *effects)
{
    int64_t n = reader->model ? reader->model->perturbation.n : 0;

    if (!reader->model)
        return;
    effects->completed = TESS_NEW(int64_t, effects->regulator.n);
    effects->component = TESS_NEW(int64_t, effects->regulator.n);
    effects->turned = TESS_NEW(uint8_t, effects->regulator.n);
    for (size_t i = 0; i < effects->regulator.n; i++)
        effects->completed[i] = -1;
    for (int64_t k = 0; k < 2 * n; k++) {
        int64_t c = k % n;
        const char *gene = component_gene(reader, c, readouts);
        int64_t i = gene ? tess_genes_find(&effects->regulator, gene) : -1;
        int gained = gene && tess_gene_is_gained(reader->model->perturbation.symbol[c], gene);

        if (i < 0 || gained != (k >= n) || effects->row[TESS_KNOCKOUT][i] >= 0 ||
            effects->completed[i] >= 0)
            continue;
        effects->completed[i] = effects->n_completed;
        effects->turned[effects->n_completed] = (uint8_t)gained;
        effects->component[effects->n_completed++] = c;
    }
}

/* Rank 0. */
static int plan_rows(struct reader *reader, struct tess_effects *effects, struct tess_error *error)
{
    const struct tess_regulation_options *options = reader->options;
    const char *name[TESS_PERTURBED] = {options->context, options->knockdown};
    struct tess_effects_plan plan;

    tess_effects_plan_init(&plan, reader->n_rows, options->method == TESS_BY_PARTIAL);
    for (int64_t k = 0; k < reader->n_readouts; k++)
        tess_effects_plan_readout(&plan, reader->readout[k]);
    for (int64_t row = 0; row < reader->n_rows; row++)
        label_row(reader, &plan, row, effects);
    label_components(reader, &plan);
    for (int kind = 0; kind < TESS_PERTURBED; kind++)
        if (name[kind] && plan.n_of[kind] == 0)
            refuse_context(reader, name[kind], error);
    reader->place = TESS_NEW(int64_t, reader->n_rows);
    tess_effects_plan_finish(&plan, effects, options, reader->place, error);
    reader->from = TESS_NEW(int64_t, reader->n_readouts);
    for (int64_t k = 0; k < reader->n_readouts; k++)
        reader->from[tess_genes_find(&effects->target, reader->readout[k])] = k;
    match_components(reader, &plan.readouts, effects);
    tess_effects_plan_release(&plan);
    return error->code;
}

/* ---- values ---- */

static int read_experiments(struct reader *reader, int64_t first, int64_t n,
                            struct tess_error *error)
{
    const struct tess_index *index = &reader->store.index;
    int64_t begin = index->value_first[first];
    float *value = TESS_NEW(float, index->value_first[first + n] - begin);

    tess_store_read_values(&reader->store, first, n, value, error);
    for (int64_t e = first; e < first + n && error->code == TESS_OK; e++) {
        const int64_t *readout = index->panel_readout + index->panel_first[index->panel[e]];
        float *out = reader->dense + (e - first) * reader->n_readouts;

        for (int64_t at = index->value_first[e]; at < index->value_first[e + 1]; at++)
            out[*readout++] = value[at - begin];
    }
    tess_free(value);
    return error->code;
}

/* Rows [first, first + n) into reader->dense; NaN where nothing was measured. */
static int read_rows(struct reader *reader, int64_t first, int64_t n, struct tess_error *error)
{
    struct tess_block *block = &reader->block;
    int64_t width = reader->n_readouts;

    for (int64_t k = 0; k < n * width; k++)
        reader->dense[k] = NAN;
    if (reader->is_store)
        return read_experiments(reader, first, n, error);
    if (tess_source_read_rows(&reader->source, first, n, block, &reader->problems, error) !=
        TESS_OK)
        return error->code;
    if (reader->problems.n > 0 && reader->problems.text.n > 0)
        return tess_error_set(error, TESS_EDATA, "%s", reader->problems.text.item[0]);
    if (block->dense)
        memcpy(reader->dense, block->dense, (size_t)(n * width) * sizeof(float));
    for (int64_t k = 0; !block->dense && k < n; k++) {
        for (int64_t j = 0; j < width; j++)
            reader->dense[k * width + j] = block->fill;
        for (int64_t at = block->indptr[k]; at < block->indptr[k + 1]; at++)
            reader->dense[k * width + block->index[at]] = block->data[at];
    }
    return TESS_OK;
}

/* The next rows that are wanted, at most rows_at_once, all of them read: [*first, *first + n). */
static int64_t next_rows(const struct reader *reader, int64_t *first)
{
    int64_t end;

    while (*first < reader->n_rows && reader->place[*first] == TESS_LEFT_OUT)
        ++*first;
    end = *first + reader->rows_at_once;
    end = end < reader->n_rows ? end : reader->n_rows;
    while (end > *first && reader->place[end - 1] == TESS_LEFT_OUT)
        end--;
    return end - *first;
}

/* What a rank gets of n rows: their places (int64), then their values in its targets (float). */
static char *pack(const struct reader *reader, const struct tess_effects *effects, int rank,
                  int64_t first, int64_t n, int64_t *bytes)
{
    int64_t begin, width, kept = 0;
    char *block;

    tess_effects_targets(effects, rank, &begin, &width);
    *bytes = n * (int64_t)sizeof(int64_t) + n * width * (int64_t)sizeof(float);
    block = tess_alloc((size_t)*bytes, 1);
    for (int64_t row = first; row < first + n; row++, kept++) {
        float *out = (float *)(block + n * (int64_t)sizeof(int64_t)) + kept * width;

        memcpy(block + kept * (int64_t)sizeof(int64_t), &reader->place[row], sizeof(int64_t));
        for (int64_t j = 0; j < width; j++)
            out[j] = reader->dense[kept * reader->n_readouts + reader->from[begin + j]];
    }
    return block;
}

static void add_rows(struct tess_effects *effects, uint32_t *count, const char *block, int64_t n)
{
    const float *value = (const float *)(block + n * (int64_t)sizeof(int64_t));

    for (int64_t k = 0; k < n; k++) {
        int64_t place;

        memcpy(&place, block + k * (int64_t)sizeof(int64_t), sizeof place);
        if (place != TESS_LEFT_OUT)
            tess_effects_add(effects, count, place, value + k * effects->n);
    }
}

/* Rank 0 reads some rows, all add their part. Collective; the same code everywhere. */
static int deal_rows(struct reader *reader, struct tess_effects *effects, uint32_t *count,
                     struct tess_error *error)
{
    int64_t n = 1, first = 0, *bytes = TESS_NEW(int64_t, effects->n_ranks);
    char **block = TESS_NEW(char *, effects->n_ranks);

    while (n > 0) {
        char *mine;

        if (effects->rank == 0 && (n = next_rows(reader, &first)) > 0)
            read_rows(reader, first, n, error);
        if (tess_agree(effects->comm, error) != TESS_OK)
            break;
        MPI_Bcast(&n, 1, MPI_INT64_T, 0, effects->comm);
        for (int r = 0; effects->rank == 0 && r < effects->n_ranks; r++)
            block[r] = pack(reader, effects, r, first, n, &bytes[r]);
        mine = tess_scatter(effects->comm, block, bytes);
        add_rows(effects, count, mine, n);
        first += n;
        tess_free(mine);
        for (int r = 0; effects->rank == 0 && r < effects->n_ranks; r++)
            tess_free(block[r]);
    }
    tess_free(bytes);
    tess_free(block);
    return error->code;
}

/* ---- all together ---- */

/* Who is completed, from rank 0 to all. */
static void share_completed(struct tess_effects *effects)
{
    int64_t n = (int64_t)effects->regulator.n;

    effects->completed =
        tess_broadcast_array(effects->comm, effects->completed, n, sizeof *effects->completed);
    effects->component =
        tess_broadcast_array(effects->comm, effects->component, n, sizeof *effects->component);
    effects->turned =
        tess_broadcast_array(effects->comm, effects->turned, n, sizeof *effects->turned);
}

static void share_plan(struct tess_effects *effects)
{
    int64_t number[] = {effects->n_rows,      effects->n_combinations, effects->n_unread,
                        effects->n_completed, effects->n_gained,       effects->n_contrary};
    int64_t n;

    tess_broadcast_strings(effects->comm, &effects->regulator);
    tess_broadcast_strings(effects->comm, &effects->target);
    MPI_Bcast(number, 6, MPI_INT64_T, 0, effects->comm);
    effects->n_rows = number[0];
    effects->n_combinations = number[1];
    effects->n_unread = number[2];
    effects->n_completed = number[3];
    effects->n_gained = number[4];
    effects->n_contrary = number[5];
    n = (int64_t)effects->regulator.n;
    effects->column =
        tess_broadcast_array(effects->comm, effects->column, n, sizeof *effects->column);
    for (int kind = 0; kind < TESS_PERTURBED; kind++) {
        effects->row[kind] =
            tess_broadcast_array(effects->comm, effects->row[kind], n, sizeof *effects->row[kind]);
        effects->gained[kind] = tess_broadcast_array(effects->comm, effects->gained[kind], n,
                                                     sizeof *effects->gained[kind]);
    }
    tess_effects_deal(effects);
}

/* Collective. */
static int read_values(struct reader *reader, struct tess_effects *effects,
                       struct tess_error *error)
{
    uint32_t *count;

    tess_effects_start(effects, &count, error);
    if (effects->rank == 0)
        reader->dense = tess_alloc_large((size_t)(reader->rows_at_once * reader->n_readouts),
                                         sizeof(float), "rows of the input", error);
    if (tess_agree(effects->comm, error) == TESS_OK)
        deal_rows(reader, effects, count, error);
    tess_effects_average(effects, count);
    return error->code;
}

int tess_effects_read(struct tess_effects *effects, const struct tess_regulation_options *options,
                      const struct tess_predicted *predicted, struct tess_error *error)
{
    struct reader reader = {.options = options, .model = predicted ? &predicted->model : NULL};
    MPI_Comm comm = effects->comm;

    MPI_Comm_rank(comm, &effects->rank);
    MPI_Comm_size(comm, &effects->n_ranks);
    if (effects->rank == 0) {
        reader.is_store = tess_store_is(options->input, error);
        if (error->code == TESS_OK &&
            (reader.is_store ? open_store : open_file)(&reader, error) == TESS_OK)
            plan_rows(&reader, effects, error);
    }
    if (tess_agree(comm, error) == TESS_OK) {
        share_plan(effects);
        if (predicted)
            share_completed(effects);
        read_values(&reader, effects, error);
    }
    release(&reader);
    return error->code;
}
