/* cell_groups.c -- labels to groups: which gene was perturbed in which cell. */
#include "tessera/cell_groups.h"

#include "samples.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/genes.h"
#include "tessera/intern.h"
#include "tessera/log.h"
#include "tessera/source_open.h"
#include "tessera/store.h"

#include <inttypes.h>
#include <string.h>

/* What a row is, where it is no gene's. */
enum { UNLABELLED = -1, COMBINED = -2, ELSEWHERE = -3, CONTROL = -4, CONTRARY = -5, NOWHERE = -6 };

/* Rank 0's, while it reads labels. */
struct labels {
    struct tess_column perturbation, context;
    struct tess_intern readout, gene;
    int64_t *of_level; /* what a level of the perturbation's column is; own */
    uint8_t *gain; /* of that level: is there more of the gene? own */
    uint8_t *lost; /* (gene.n) is there a cell that has less of it? own */
    int64_t *kind; /* (n_rows) own */
};

void tess_cell_options_release(struct tess_cell_options *options)
{
    tess_strings_release(&options->control);
    tess_filter_release(&options->filter);
}

/* ---- the file ---- */

static int open_source(struct tess_cell_groups *groups, struct tess_error *error)
{
    const struct tess_cell_options *options = groups->options;

    groups->source_options =
        (struct tess_source_options){.layer = options->layer,
                                     .find_split = 1,
                                     .filter = (struct tess_filter *)(uintptr_t)&options->filter};
    groups->problems.limit = 1;
    tess_strings_add(&groups->source_options.perturbation, options->perturbation_column);
    tess_strings_add(&groups->source_options.context, options->context_column);
    if (tess_source_open(&groups->source, options->path, &groups->source_options, &groups->problems,
                         error) == TESS_OK &&
        groups->problems.n > 0)
        tess_error_set(error, TESS_EDATA, "%s", groups->problems.text.item[0]);
    return error->code;
}

static void number_readouts(struct tess_cell_groups *groups)
{
    const struct tess_strings *readout = &groups->source.readout;

    groups->column = TESS_NEW(int64_t, readout->n);
    tess_vocab_init(&groups->readout, (int64_t)readout->n, (const char *const *)readout->item,
                    groups->column);
}

/* ---- labels; rank 0's ---- */

/* Its gene is that of genes.h, as everywhere; and is there more of it? */
static int64_t kind_of(const struct tess_cell_groups *groups, struct labels *labels,
                       const char *text, uint8_t *gain)
{
    const char *gene = tess_gene_of(text, &labels->readout);

    if (!*text)
        return UNLABELLED;
    if (tess_gene_is_control(text) || tess_strings_find(&groups->options->control, text) >= 0)
        return CONTROL;
    if (tess_gene_is_combination(text, &labels->readout))
        return COMBINED;
    *gain = (uint8_t)tess_gene_is_gained(text, gene);
    return tess_intern_add(&labels->gene, gene, strlen(gene));
}

static void label_levels(struct tess_cell_groups *groups, struct labels *labels)
{
    const struct tess_column *column = &labels->perturbation;

    for (size_t k = 0; k < groups->source.readout.n; k++)
        tess_intern_add(&labels->readout, groups->source.readout.item[k],
                        strlen(groups->source.readout.item[k]));
    labels->of_level = TESS_NEW(int64_t, column->n_levels);
    labels->gain = TESS_NEW(uint8_t, column->n_levels);
    for (int64_t k = 0; k < column->n_levels; k++)
        labels->of_level[k] = kind_of(groups, labels, column->level[k], &labels->gain[k]);
    labels->lost = TESS_NEW(uint8_t, labels->gene.n);
}

/* The context that is asked for, or the only one of the rows that count: its level. */
static int32_t find_context(struct tess_cell_groups *groups, const struct labels *labels,
                            struct tess_error *error)
{
    const struct tess_column *column = &labels->context;
    const char *wanted = groups->options->context;
    struct tess_strings there = {0};
    int8_t *seen = TESS_NEW(int8_t, column->n_levels);
    int32_t found = -1;
    char *list;

    for (int64_t row = 0; row < groups->source.n_rows; row++)
        if (!groups->left_out[row] && column->code[row] >= 0)
            seen[column->code[row]] = 1;
    for (int32_t k = 0; k < column->n_levels; k++) {
        if (!seen[k])
            continue;
        tess_strings_add(&there, column->level[k]);
        if (!wanted || strcmp(wanted, column->level[k]) == 0)
            found = k;
    }
    list = tess_strings_join(&there, ", ", 10);
    if (wanted && found < 0 && there.n > 0)
        tess_error_set(error, TESS_EDATA, "%s: no context '%s' in column '%s'; there are: %s",
                       groups->options->path, wanted, groups->options->context_column, list);
    else if (there.n == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no cell with a context in column '%s' is left (--keep, --drop)",
                       groups->options->path, groups->options->context_column);
    else if (!wanted && there.n != 1)
        tess_error_set(error, TESS_EDATA,
                       "%s: column '%s' has %zu contexts: name one of them with --context: %s",
                       groups->options->path, groups->options->context_column, there.n, list);
    tess_free(list);
    tess_free(seen);
    tess_strings_release(&there);
    return found;
}

static void label_rows(struct tess_cell_groups *groups, struct labels *labels, int32_t context)
{
    labels->kind = TESS_NEW(int64_t, groups->source.n_rows);
    for (int64_t row = 0; row < groups->source.n_rows; row++) {
        int32_t level = labels->perturbation.code[row];
        int64_t kind = level < 0 ? UNLABELLED : labels->of_level[level];

        if (groups->left_out[row] || labels->context.code[row] != context)
            kind = !groups->left_out[row] && labels->context.code[row] < 0 ? NOWHERE : ELSEWHERE;
        if (kind >= 0 && !labels->gain[level])
            labels->lost[kind] = 1;
        labels->kind[row] = kind;
        groups->n_elsewhere += kind == ELSEWHERE;
        groups->n_nowhere += kind == NOWHERE;
        groups->n_unlabelled += kind == UNLABELLED;
        groups->n_combined += kind == COMBINED;
    }
}

/* Of a gene that was lost and gained the losses count. */
static void leave_contrary(struct tess_cell_groups *groups, struct labels *labels)
{
    for (int64_t row = 0; row < groups->source.n_rows; row++) {
        int64_t kind = labels->kind[row];

        if (kind < 0 || !labels->gain[labels->perturbation.code[row]] || !labels->lost[kind])
            continue;
        labels->kind[row] = CONTRARY;
        groups->n_contrary++;
    }
}

/* Genes with enough cells get a number: group (labels->gene.n), -1 for the others. */
static void number_genes(struct tess_cell_groups *groups, const struct labels *labels,
                         int64_t *group, int64_t *n_control)
{
    int64_t n = labels->gene.n, kept = 0, *count = TESS_NEW(int64_t, n);
    int64_t *order = TESS_NEW(int64_t, n), *which = TESS_NEW(int64_t, n);
    const char **name = TESS_NEW(const char *, n);

    for (int64_t row = 0; row < groups->source.n_rows; row++) {
        if (labels->kind[row] >= 0)
            count[labels->kind[row]]++;
        *n_control += labels->kind[row] == CONTROL;
    }
    for (int64_t i = 0; i < n; i++) {
        group[i] = -1;
        if (count[i] >= TESS_SAMPLES_LEAST) {
            which[kept] = i;
            name[kept++] = labels->gene.text[i];
            continue;
        }
        groups->n_sparse_genes += count[i] > 0;
        groups->n_sparse += count[i];
    }
    tess_vocab_init(&groups->gene, kept, name, order);
    groups->gained = TESS_NEW(uint8_t, kept);
    for (int64_t g = 0; g < kept; g++) {
        group[which[order[g]]] = g;
        groups->gained[g] = !labels->lost[which[order[g]]];
    }
    tess_free(count);
    tess_free(order);
    tess_free(which);
    tess_free(name);
}

/* Places, by group and then in the order of the file. */
static void place_rows(struct tess_cell_groups *groups, const struct labels *labels,
                       const int64_t *group)
{
    int64_t control = tess_cell_groups_control(groups), *next = TESS_NEW(int64_t, control + 2);

    groups->first = TESS_NEW(int64_t, control + 2);
    for (int64_t row = 0; row < groups->source.n_rows; row++) {
        int64_t kind = labels->kind[row], g = kind == CONTROL ? control
                                              : kind < 0      ? -1
                                                              : group[kind];

        groups->place[row] = g;
        if (g >= 0)
            groups->first[g + 1]++;
    }
    for (int64_t g = 0; g <= control; g++)
        groups->first[g + 1] += groups->first[g];
    memcpy(next, groups->first, (size_t)(control + 1) * sizeof *next);
    for (int64_t row = 0; row < groups->source.n_rows; row++)
        if (groups->place[row] >= 0)
            groups->place[row] = next[groups->place[row]]++;
    tess_free(next);
}

static int check_groups(const struct tess_cell_groups *groups, int64_t n_control,
                        struct tess_error *error)
{
    if (n_control < TESS_SAMPLES_LEAST)
        return tess_error_set(error, TESS_EDATA,
                              "%s: %" PRId64 " control cells, and at least %d are needed: which "
                              "value of column '%s' is the control says --control",
                              groups->options->path, n_control, TESS_SAMPLES_LEAST,
                              groups->options->perturbation_column);
    if (groups->gene.n == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: no gene was perturbed alone in at least %d of the cells",
                              groups->options->path, TESS_SAMPLES_LEAST);
    return TESS_OK;
}

static int read_columns(struct tess_cell_groups *groups, struct labels *labels,
                        struct tess_error *error)
{
    const struct tess_cell_options *options = groups->options;
    struct tess_filter *filter = (struct tess_filter *)(uintptr_t)&options->filter;

    if (tess_filter_apply(filter, &groups->source, groups->left_out, error) != TESS_OK ||
        tess_source_read_column(&groups->source, options->perturbation_column,
                                &labels->perturbation, error) != TESS_OK)
        return error->code;
    return tess_source_read_column(&groups->source, options->context_column, &labels->context,
                                   error);
}

static int read_labels(struct tess_cell_groups *groups, struct tess_error *error)
{
    struct labels labels = {.kind = NULL};
    int64_t n_control = 0, *group;
    int32_t context;

    if (read_columns(groups, &labels, error) == TESS_OK) {
        context = find_context(groups, &labels, error);
        label_levels(groups, &labels);
        label_rows(groups, &labels, context);
        leave_contrary(groups, &labels);
        group = TESS_NEW(int64_t, labels.gene.n);
        number_genes(groups, &labels, group, &n_control);
        place_rows(groups, &labels, group);
        check_groups(groups, n_control, error);
        tess_free(group);
    }
    tess_column_release(&labels.perturbation);
    tess_column_release(&labels.context);
    tess_intern_release(&labels.readout);
    tess_intern_release(&labels.gene);
    tess_free(labels.of_level);
    tess_free(labels.gain);
    tess_free(labels.lost);
    tess_free(labels.kind);
    return error->code;
}

/* ---- all together ---- */

static void share(struct tess_cell_groups *groups)
{
    size_t n_rows = (size_t)groups->source.n_rows;

    tess_broadcast_vocab(groups->comm, &groups->gene);
    if (groups->rank != 0) {
        groups->first = TESS_NEW(int64_t, groups->gene.n + 2);
        groups->gained = TESS_NEW(uint8_t, groups->gene.n);
    }
    tess_broadcast(groups->comm, groups->gained, (size_t)groups->gene.n);
    tess_broadcast(groups->comm, groups->first, (size_t)(groups->gene.n + 2) * sizeof(int64_t));
    tess_broadcast(groups->comm, groups->place, n_rows * sizeof(int64_t));
    groups->n_cells = groups->first[groups->gene.n + 1];
    for (size_t row = 0; row < n_rows; row++)
        groups->left_out[row] = groups->place[row] < 0;
    groups->source.left_out = groups->left_out;
    groups->self = TESS_NEW(int64_t, groups->gene.n);
    for (int64_t g = 0; g < groups->gene.n; g++)
        groups->self[g] = tess_vocab_find(&groups->readout, groups->gene.symbol[g]);
}

/* Rank 0 opens the file first, and says what is wrong with it; it cannot be a pipe. */
static int open_everywhere(struct tess_cell_groups *groups, struct tess_error *error)
{
    int64_t n_rows = 0, n_readouts = 0;

    for (int turn = 0; turn < 2; turn++) {
        if ((groups->rank == 0) == (turn == 0))
            open_source(groups, error);
        if (tess_agree(groups->comm, error) != TESS_OK)
            return error->code;
    }
    if (groups->rank == 0) {
        n_rows = groups->source.n_rows;
        n_readouts = groups->source.n_readouts;
    }
    MPI_Bcast(&n_rows, 1, MPI_INT64_T, 0, groups->comm);
    MPI_Bcast(&n_readouts, 1, MPI_INT64_T, 0, groups->comm);
    if (n_rows != groups->source.n_rows || n_readouts != groups->source.n_readouts)
        tess_error_set(error, TESS_EDATA, "%s: is another file on another rank",
                       groups->options->path);
    return tess_agree(groups->comm, error);
}

int tess_cell_groups_open(struct tess_cell_groups *groups, const struct tess_cell_options *options,
                          MPI_Comm comm, struct tess_error *error)
{
    *groups = (struct tess_cell_groups){.comm = comm, .options = options};
    MPI_Comm_rank(comm, &groups->rank);
    MPI_Comm_size(comm, &groups->n_ranks);
    if (open_everywhere(groups, error) != TESS_OK)
        return error->code;
    number_readouts(groups);
    groups->place =
        tess_alloc_large((size_t)groups->source.n_rows, sizeof(int64_t), "places of cells", error);
    groups->left_out = tess_alloc_large((size_t)groups->source.n_rows, 1, "marks of cells", error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    if (groups->rank == 0)
        read_labels(groups, error);
    if (tess_agree(comm, error) == TESS_OK)
        share(groups);
    return error->code;
}

void tess_cell_groups_say(const struct tess_cell_groups *groups)
{
    tess_info("%s: %" PRId64 " cells of %" PRId64 " perturbed genes and %" PRId64 " control cells",
              groups->options->path, groups->first[tess_cell_groups_control(groups)],
              groups->gene.n, tess_cell_groups_size(groups, tess_cell_groups_control(groups)));
    if (groups->n_elsewhere > 0)
        tess_info("left out: %" PRId64 " cells of other contexts, or by --keep and --drop",
                  groups->n_elsewhere);
    if (groups->n_nowhere > 0)
        tess_info("left out: %" PRId64 " cells without a context", groups->n_nowhere);
    if (groups->n_combined > 0)
        tess_info("left out: %" PRId64 " cells of combinations", groups->n_combined);
    if (groups->n_contrary > 0)
        tess_info("left out: %" PRId64 " cells that gained a gene which others lost",
                  groups->n_contrary);
    if (groups->n_unlabelled > 0)
        tess_info("left out: %" PRId64 " cells without a perturbation", groups->n_unlabelled);
    if (groups->n_sparse_genes > 0)
        tess_info("left out: %" PRId64 " cells of %" PRId64
                  " genes that were perturbed in fewer than %d",
                  groups->n_sparse, groups->n_sparse_genes, TESS_SAMPLES_LEAST);
}

void tess_cell_groups_release(struct tess_cell_groups *groups)
{
    if (groups->source.type)
        tess_source_release(&groups->source);
    tess_strings_release(&groups->source_options.perturbation);
    tess_strings_release(&groups->source_options.context);
    tess_problems_release(&groups->problems);
    tess_vocab_release(&groups->gene);
    tess_vocab_release(&groups->readout);
    tess_free(groups->gained);
    tess_free(groups->self);
    tess_free(groups->column);
    tess_free(groups->first);
    tess_free(groups->place);
    tess_free(groups->left_out);
    *groups = (struct tess_cell_groups){.n_cells = 0};
}
