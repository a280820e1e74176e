/* effects_read.c -- rank 0 reads rows of a store or of a file and deals their columns out.
 *
 * A perturbation's gene is its whole name if that is a readout, else what follows the last `_` or
 * `:` (CRISPRi_TP53). Several rows of a gene in a context are averaged. */
#include "effects.h"

#include "genes.h"

#include "tessera/predicted.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/intern.h"
#include "tessera/source_open.h"
#include "tessera/spool.h"
#include "tessera/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 64 /* of a store */
enum { LEFT_OUT = -1 };

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
    int64_t *place; /* (n_rows) row of the effects, or LEFT_OUT; own */
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

/* What a row is of: a knock-out, a knock-down, or neither (LEFT_OUT). */
static int kind_of(const struct reader *reader, int64_t row)
{
    const char *context = context_of(reader, row);

    if (context && strcmp(context, reader->options->context) == 0)
        return TESS_KNOCKOUT;
    if (context && reader->options->knockdown && strcmp(context, reader->options->knockdown) == 0)
        return TESS_KNOCKDOWN;
    return LEFT_OUT;
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
    tess_error_set(error, TESS_EDATA, "%s: no context '%s'; there are: %s", reader->options->input,
                   name, list);
    tess_free(list);
    tess_strings_release(&there);
    tess_intern_release(&seen);
    return error->code;
}

/* ---- which row goes where ---- */

struct plan {
    struct tess_intern readouts, regulators;
    int64_t *regulator; /* (n_rows) of `regulators`; -1: left out; -2: the control; own */
    int8_t *kind; /* (n_rows) own */
    uint8_t *gained; /* (n_rows) was there more of the gene? own */
    int64_t n_of[TESS_PERTURBED];
};

/* Is each row a row of its own, whatever was perturbed? */
static int is_sampled(const struct reader *reader)
{
    return reader->options->method == TESS_BY_PARTIAL;
}

static void label_row(struct reader *reader, struct plan *plan, int64_t row,
                      struct tess_effects *effects)
{
    int kind = kind_of(reader, row);
    char *text = kind == LEFT_OUT ? NULL : perturbation_of(reader, row);

    plan->regulator[row] = -1;
    plan->kind[row] = (int8_t)kind;
    if (kind != LEFT_OUT)
        plan->n_of[kind]++;
    if (kind != LEFT_OUT && is_sampled(reader)) {
        char name[24];
        int length = snprintf(name, sizeof name, "%lld", (long long)row);

        plan->regulator[row] = tess_intern_add(&plan->regulators, name, (size_t)length);
    } else if (text && tess_gene_is_control(text))
        plan->regulator[row] = kind == TESS_KNOCKOUT ? -2 : -1;
    else if (text && strchr(text, '+') && tess_intern_find(&plan->readouts, text, strlen(text)) < 0)
        effects->n_combinations++;
    else if (text) {
        const char *gene = tess_gene_of(text, &plan->readouts);

        plan->regulator[row] = tess_intern_add(&plan->regulators, gene, strlen(gene));
        plan->gained[row] = (uint8_t)tess_gene_is_gained(text, gene);
    }
    tess_free(text);
}

enum { LOST = 1, GAINED = 2 };

/* Where each regulator has rows, and of what: of one that was lost and gained the losses count. */
static void mark_rows(const struct reader *reader, const struct plan *plan, const int64_t *to,
                      struct tess_effects *effects)
{
    size_t m = effects->regulator.n;

    for (int kind = 0; kind < TESS_PERTURBED; kind++) {
        effects->row[kind] = TESS_NEW(int64_t, m);
        effects->gained[kind] = TESS_NEW(uint8_t, m);
        memset(effects->row[kind], 0, m * sizeof(int64_t));
    }
    for (int64_t row = 0; row < reader->n_rows; row++)
        if (plan->regulator[row] >= 0)
            effects->row[plan->kind[row]][to[plan->regulator[row]]] |=
                plan->gained[row] ? GAINED : LOST;
    for (int kind = 0; kind < TESS_PERTURBED; kind++)
        for (size_t i = 0; i < m; i++) {
            effects->gained[kind][i] = effects->row[kind][i] == GAINED;
            effects->n_gained += effects->gained[kind][i];
            effects->row[kind][i] = effects->row[kind][i] ? effects->n_rows++ : -1;
        }
}

static int64_t place_of(const struct plan *plan, const int64_t *to, int64_t row,
                        struct tess_effects *effects)
{
    int kind = plan->kind[row];
    int64_t i;

    if (plan->regulator[row] == -2)
        return effects->n_rows;
    if (plan->regulator[row] < 0)
        return LEFT_OUT;
    i = to[plan->regulator[row]];
    if (plan->gained[row] == effects->gained[kind][i])
        return effects->row[kind][i];
    effects->n_contrary++;
    return LEFT_OUT;
}

/* The names in order, each regulator's rows. */
static void number_rows(struct reader *reader, struct plan *plan, struct tess_effects *effects)
{
    int64_t *to = TESS_NEW(int64_t, plan->regulators.n);

    for (int64_t i = 0; i < plan->regulators.n; i++)
        tess_strings_add(&effects->regulator, plan->regulators.text[i]);
    tess_genes_sort(&effects->regulator);
    for (int64_t i = 0; i < plan->regulators.n; i++)
        to[i] = tess_genes_find(&effects->regulator, plan->regulators.text[i]);
    mark_rows(reader, plan, to, effects);
    for (int64_t row = 0; row < reader->n_rows; row++)
        reader->place[row] = place_of(plan, to, row, effects);
    tess_free(to);
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

static void label_components(const struct reader *reader, struct plan *plan)
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

static void match_columns(struct reader *reader, struct tess_effects *effects)
{
    for (int64_t k = 0; k < reader->n_readouts; k++)
        tess_strings_add(&effects->target, reader->readout[k]);
    tess_genes_sort(&effects->target);
    reader->from = TESS_NEW(int64_t, reader->n_readouts);
    for (int64_t k = 0; k < reader->n_readouts; k++)
        reader->from[tess_genes_find(&effects->target, reader->readout[k])] = k;
    effects->column = TESS_NEW(int64_t, effects->regulator.n);
    for (size_t i = 0; i < effects->regulator.n; i++) {
        effects->column[i] =
            is_sampled(reader) ? -1 : tess_genes_find(&effects->target, effects->regulator.item[i]);
        effects->n_unread += effects->column[i] < 0 && !is_sampled(reader);
    }
}

/* Rank 0. */
static int plan_rows(struct reader *reader, struct tess_effects *effects, struct tess_error *error)
{
    const char *name[TESS_PERTURBED] = {reader->options->context, reader->options->knockdown};
    struct plan plan = {.regulator = TESS_NEW(int64_t, reader->n_rows),
                        .kind = TESS_NEW(int8_t, reader->n_rows),
                        .gained = TESS_NEW(uint8_t, reader->n_rows)};

    for (int64_t k = 0; k < reader->n_readouts; k++)
        tess_intern_add(&plan.readouts, reader->readout[k], strlen(reader->readout[k]));
    for (int64_t row = 0; row < reader->n_rows; row++)
        label_row(reader, &plan, row, effects);
    label_components(reader, &plan);
    for (int kind = 0; kind < TESS_PERTURBED; kind++)
        if (name[kind] && plan.n_of[kind] == 0)
            refuse_context(reader, name[kind], error);
    reader->place = TESS_NEW(int64_t, reader->n_rows);
    number_rows(reader, &plan, effects);
    match_columns(reader, effects);
    match_components(reader, &plan.readouts, effects);
    if (effects->regulator.n < 3 || effects->target.n < 3)
        tess_error_set(error, TESS_EDATA,
                       "%s: %zu %s and %zu readouts in context '%s': a network needs "
                       "at least 3 of each",
                       reader->options->input, effects->regulator.n,
                       is_sampled(reader) ? "rows" : "perturbed genes", effects->target.n, name[0]);
    tess_intern_release(&plan.readouts);
    tess_intern_release(&plan.regulators);
    tess_free(plan.regulator);
    tess_free(plan.kind);
    tess_free(plan.gained);
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

    while (*first < reader->n_rows && reader->place[*first] == LEFT_OUT)
        ++*first;
    end = *first + reader->rows_at_once;
    end = end < reader->n_rows ? end : reader->n_rows;
    while (end > *first && reader->place[end - 1] == LEFT_OUT)
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
        for (int64_t j = 0; place != LEFT_OUT && j < effects->n; j++) {
            float x = value[k * effects->n + j];

            if (isnan(x))
                continue;
            effects->value[place * effects->n + j] += (double)x;
            count[place * effects->n + j]++;
        }
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
    size_t bytes = effects->regulator.n * sizeof(int64_t);

    if (effects->rank != 0) {
        effects->completed = tess_alloc(bytes, 1);
        effects->component = tess_alloc(bytes, 1);
        effects->turned = tess_alloc(effects->regulator.n, 1);
    }
    tess_broadcast(effects->comm, effects->completed, bytes);
    tess_broadcast(effects->comm, effects->component, bytes);
    tess_broadcast(effects->comm, effects->turned, effects->regulator.n);
}

static void share_plan(struct tess_effects *effects)
{
    int64_t number[] = {effects->n_rows,      effects->n_combinations, effects->n_unread,
                        effects->n_completed, effects->n_gained,       effects->n_contrary};
    size_t bytes;

    tess_broadcast_strings(effects->comm, &effects->regulator);
    tess_broadcast_strings(effects->comm, &effects->target);
    MPI_Bcast(number, 6, MPI_INT64_T, 0, effects->comm);
    effects->n_rows = number[0];
    effects->n_combinations = number[1];
    effects->n_unread = number[2];
    effects->n_completed = number[3];
    effects->n_gained = number[4];
    effects->n_contrary = number[5];
    bytes = effects->regulator.n * sizeof(int64_t);
    if (effects->rank != 0) {
        effects->column = tess_alloc(bytes, 1);
        for (int kind = 0; kind < TESS_PERTURBED; kind++) {
            effects->row[kind] = tess_alloc(bytes, 1);
            effects->gained[kind] = tess_alloc(effects->regulator.n, 1);
        }
    }
    tess_broadcast(effects->comm, effects->column, bytes);
    for (int kind = 0; kind < TESS_PERTURBED; kind++) {
        tess_broadcast(effects->comm, effects->row[kind], bytes);
        tess_broadcast(effects->comm, effects->gained[kind], effects->regulator.n);
    }
    tess_effects_deal(effects);
}

/* Sums to means. Collective. */
static int read_values(struct reader *reader, struct tess_effects *effects,
                       struct tess_error *error)
{
    size_t size = (size_t)((effects->n_rows + 1) * effects->n);
    uint32_t *count = tess_alloc_large(size, sizeof *count, "the counts of values", error);

    effects->value = tess_alloc_large(size, sizeof(double), "the effects", error);
    effects->measured = tess_alloc_large(size, 1, "the effects' marks", error);
    if (effects->rank == 0)
        reader->dense = tess_alloc_large((size_t)(reader->rows_at_once * reader->n_readouts),
                                         sizeof(float), "rows of the input", error);
    if (tess_agree(effects->comm, error) == TESS_OK)
        deal_rows(reader, effects, count, error);
    for (size_t k = 0; error->code == TESS_OK && k < size; k++) {
        effects->measured[k] = count[k] > 0;
        if (count[k] > 1)
            effects->value[k] /= (double)count[k];
    }
    tess_free(count);
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
