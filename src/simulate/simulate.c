/* simulate.c -- settings of a simulation, and the order in which its files are made. */
#include "tessera/simulate.h"

#include "simulate_store.h"
#include "simulate_write.h"
#include "mechanism.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/writer.h"

#include <math.h>
#include <string.h>

void tess_simulate_init(struct tess_simulate *simulate)
{
    *simulate = (struct tess_simulate){
        .n_perturbations = -1,
        .n_readouts = 200,
        .n_contexts = 4,
        .order = 2,
        .n_replicates = 1,
        .n_controls = 4,
        .rank = 5,
        .seed = 1,
        .effect = NAN,
        .off_target = 0.5,
        .interaction = 0.5,
        .epistasis = 0.5,
        .noise = NAN,
        .degree = 2,
        .depth = NAN,
        .dispersion = 0.3,
    };
}

void tess_simulate_release(struct tess_simulate *simulate)
{
    tess_strings_release(&simulate->split_target);
    *simulate = (struct tess_simulate){0};
}

static void fill_in(struct tess_simulate *s)
{
    if (s->n_perturbations < 0)
        s->n_perturbations = s->network ? s->n_readouts : 100;
    if (isnan(s->effect))
        s->effect = s->network ? 2 : s->n_cells > 0 ? 0.5 : 1;
    if (isnan(s->noise))
        s->noise = s->network ? 0.3 : s->n_cells > 0 ? 0.1 : 0.5;
    if (isnan(s->depth))
        s->depth = 10 * (double)s->n_readouts;
}

/* One contradiction at a time, in the words of the command line. Defaults come first: what is asked
 * for is checked as it will be made. */
int tess_simulate_check(struct tess_simulate *s, struct tess_error *error)
{
    char *sparse = tess_writer_endings(TESS_WRITER_SPARSE, " or ");
    char *names = tess_writer_names(0, " or "), *endings = tess_writer_endings(0, " or ");
    char *cells = tess_format(
        "--cells makes counts for 'tessera import': give -o a name that ends in %s", sparse);
    char *truth = tess_format("--truth writes %s: give it a name that ends in %s", names, endings);
    const char *wrong = NULL;

    fill_in(s);
    if (s->n_cells > 0 && tess_writer_find(s->output, TESS_WRITER_SPARSE) < 0)
        wrong = cells;
    else if (s->n_cells > 0 && (s->missing > 0 || s->panel_fraction > 0))
        wrong = "--cells has a count for every readout: leave --missing and --panel-fraction out";
    else if (s->n_cells > 0 && s->n_readouts > INT32_MAX)
        wrong = "--cells: at most 2147483647 --readouts";
    else if (s->network && s->n_perturbations > s->n_readouts)
        wrong = "--network perturbs its own genes: not more --perturbations than --readouts";
    else if (s->n_mechanisms > 0 && s->network)
        wrong = "--mechanisms: compounds are not simulated with --network";
    else if (s->n_mechanisms >= s->n_perturbations)
        wrong = "--mechanisms: some of the --perturbations must be left as knock-outs";
    else if (s->pairs && s->n_mechanisms == 0)
        wrong = "--pairs writes what compounds act through: add --mechanisms";
    else if (s->synergy != 0 && (s->network || s->n_combinations == 0))
        wrong = "--synergy is how combinations deviate: add --combinations, without --network";
    else if (s->gold && !s->network)
        wrong = "--gold writes a network's edges: add --network";
    else if (s->truth && tess_writer_find(s->truth, 0) < 0)
        wrong = truth;
    else if (s->n_combinations > 0 && s->n_perturbations < s->order)
        wrong = "--combinations needs at least --order perturbations";
    if (wrong)
        tess_error_set(error, TESS_EUSAGE, "%s", wrong);
    tess_free(sparse);
    tess_free(names);
    tess_free(endings);
    tess_free(cells);
    tess_free(truth);
    return error->code;
}

/* Bytes of a file of n rows, roughly: values, names, codes. */
static double bytes_of(const struct tess_design *design, double n_rows)
{
    return n_rows * (4 * (double)design->simulate->n_readouts + 40);
}

static int check_room(const struct tess_design *design, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_simulate *s = design->simulate;
    double rows = (double)design->row_first[design->index.n_experiments];
    double pairs = (double)design->index.n_combinations * (double)s->n_contexts;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0) {
        if (s->n_cells > 0) /* how many counts are zero is not known yet: names and codes only */
            tess_commit_check_room(s->output, rows * 40, error);
        else
            tess_commit_check_room(s->output, bytes_of(design, rows), error);
        if (s->truth)
            tess_commit_check_room(s->truth, bytes_of(design, pairs), error);
    }
    return tess_agree(comm, error);
}

static int write_gold(const struct tess_design *design, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_simulate *s = design->simulate;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_truth_network_write_gold(&design->truth.network, s->gold, design->index.readout.symbol,
                                      error);
    return tess_agree(comm, error);
}

static int write_pairs(const struct tess_design *design, MPI_Comm comm, struct tess_error *error)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_mechanism_write(design->simulate, design->simulate->pairs,
                             design->index.perturbation.symbol, error);
    return tess_agree(comm, error);
}

static void report(const struct tess_design *design)
{
    const struct tess_simulate *s = design->simulate;
    const struct tess_index *index = &design->index;
    int64_t held_out = 0;

    for (int64_t e = 0; e < index->n_experiments; e++)
        held_out += index->split[e] != TESS_TRAIN;
    tess_info("%s: %lld perturbations, %lld combinations, %lld readouts, %lld contexts; "
              "%lld experiments, %lld held out; %lld %s",
              s->output, (long long)s->n_perturbations, (long long)s->n_combinations,
              (long long)s->n_readouts, (long long)s->n_contexts, (long long)index->n_experiments,
              (long long)held_out, (long long)design->row_first[index->n_experiments],
              s->n_cells > 0 ? "cells" : "profiles");
}

int tess_simulate_write(const struct tess_simulate *simulate, MPI_Comm comm,
                        struct tess_error *error)
{
    struct tess_design design;

    tess_design_init(&design, simulate, error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    if (check_room(&design, comm, error) == TESS_OK) {
        report(&design);
        if (simulate->gold)
            write_gold(&design, comm, error);
        if (simulate->pairs && error->code == TESS_OK)
            write_pairs(&design, comm, error);
        if (simulate->truth && error->code == TESS_OK)
            tess_design_write_truth(&design, comm, error);
        if (error->code == TESS_OK && tess_writer_find(simulate->output, 0) >= 0)
            tess_design_write_matrix(&design, comm, error);
        else if (error->code == TESS_OK)
            tess_design_write_store(&design, comm, error);
    }
    tess_design_release(&design);
    return error->code;
}
