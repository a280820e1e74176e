/* screen_pairs.c -- what is screened, narrowed to a type, or widened to all pairs. Pairs are made
 * block by block, in lexicographic order, and forgotten: each rank keeps the best of its blocks,
 * which are merged, and only those that are left in the end are screened as others are. */
#include "screen.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/parts.h"
#include "tessera/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK     16384 /* pairs whose scores are one part */
#define MOST_KEPT 100000000

/* ---- a type ---- */

static int is_of_type(const struct screening *work, int64_t set, struct tess_strings *types)
{
    const struct tess_sets *sets = &work->perturbation;
    int same = 1;

    for (int64_t k = sets->first[set]; k < sets->first[set + 1]; k++) {
        char *type = tess_target_type(work->model.perturbation.symbol[sets->member[k]]);

        same = same && strcmp(type, work->screen->type) == 0;
        if (tess_strings_find(types, type) < 0)
            tess_strings_add(types, type);
        tess_free(type);
    }
    return same;
}

int tess_screening_keep_type(struct screening *work, struct tess_error *error)
{
    struct tess_sets *all = &work->perturbation, kept = {0};
    struct tess_strings types = {0};

    if (!work->screen->type)
        return TESS_OK;
    for (int64_t i = 0; i < all->n; i++)
        if (is_of_type(work, i, &types))
            tess_sets_add(&kept, all->first[i + 1] - all->first[i], all->member + all->first[i]);
    if (kept.n == 0) {
        char *list = tess_strings_join(&types, ", ", 20);

        tess_error_set(error, TESS_EDATA,
                       "--type %s: none of the perturbations is of it; there are: %s",
                       work->screen->type, list);
        tess_free(list);
    }
    tess_strings_release(&types);
    tess_sets_release(all);
    *all = kept;
    return error->code;
}

/* ---- all pairs ---- */

struct kept {
    double key; /* smallest first */
    int64_t pair; /* -1: none, after all others */
};

struct pairing {
    struct screening *work;
    int64_t n, n_pairs; /* single perturbations, pairs */
    const int64_t *single; /* (n) */
    int64_t most, n_kept;
    struct kept *kept; /* (most + BLOCK) own; in the end the best `most` in order */
};

static int compare(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    int less = (x->pair < 0) - (y->pair < 0);

    if (!less)
        less = (x->key > y->key) - (x->key < y->key);
    return less ? less : (x->pair > y->pair) - (x->pair < y->pair);
}

/* The number of the first pair whose first is i. */
static int64_t pairs_before(int64_t n, int64_t i)
{
    return i * (2 * n - i - 1) / 2;
}

/* Pairs [begin, end), in lexicographic order. */
static void add_pairs(const struct pairing *pairing, int64_t begin, int64_t end,
                      struct tess_sets *sets)
{
    int64_t low = 0, high = pairing->n, second;

    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;

        *(pairs_before(pairing->n, middle) <= begin ? &low : &high) = middle;
    }
    second = low + 1 + begin - pairs_before(pairing->n, low);
    for (int64_t pair = begin; pair < end; pair++) {
        tess_sets_add(sets, 2, (const int64_t[]){pairing->single[low], pairing->single[second]});
        if (++second == pairing->n)
            second = ++low + 1;
    }
}

static int64_t end_of(const struct pairing *pairing, int64_t part)
{
    return pairing->n_pairs - part * BLOCK < BLOCK ? pairing->n_pairs : (part + 1) * BLOCK;
}

static void cut(struct pairing *pairing)
{
    qsort(pairing->kept, (size_t)pairing->n_kept, sizeof *pairing->kept, compare);
    pairing->n_kept = pairing->n_kept < pairing->most ? pairing->n_kept : pairing->most;
}

/* n, mean and sum of squares of a block, whose best are kept. */
static int screen_block(void *closure, int64_t part, double *out, struct tess_error *error)
{
    struct pairing *pairing = closure;
    struct screening block = *pairing->work;
    int64_t begin = part * BLOCK, n = end_of(pairing, part) - begin;

    block.perturbation = (struct tess_sets){0};
    block.begin = 0;
    block.end = n;
    block.cell = NULL;
    block.result = TESS_NEW(struct screen_result, n);
    add_pairs(pairing, begin, begin + n, &block.perturbation);
    if (tess_screening_predict(&block, error) == TESS_OK) {
        block.spread = (struct screen_spread){0};
        tess_screening_spread(&block);
        out[0] = block.spread.n;
        out[1] = block.spread.mean;
        out[2] = block.spread.squares;
        for (int64_t i = 0; i < n; i++) {
            double change = block.result[i].change;

            pairing->kept[pairing->n_kept++] =
                (struct kept){block.screen->down ? change : -change, begin + i};
        }
        cut(pairing);
    }
    tess_free(block.result);
    tess_sets_release(&block.perturbation);
    return error->code;
}

static void place_block(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    (void)closure;
    *first = 3 * part;
    *n = 3;
}

/* As if all had been looked at together (Chan, Golub and LeVeque, 1979). */
static void add_spread(struct screen_spread *all, const double *one)
{
    double n = all->n + one[0], off = one[1] - all->mean;

    all->squares += one[2] + off * off * all->n * one[0] / n;
    all->mean += off * one[0] / n;
    all->n = n;
}

/* MPI's: an element of the type is a whole list, in order. */
static void merge(void *from, void *into, int *n, MPI_Datatype *type)
{
    struct kept *list = into, *both;
    const struct kept *more = from;
    int bytes;
    int64_t most;

    MPI_Type_size(*type, &bytes);
    most = bytes / (int64_t)sizeof *list;
    both = TESS_NEW(struct kept, most);
    for (int64_t q = 0; q < *n; q++, list += most, more += most) {
        for (int64_t i = 0, a = 0, b = 0; i < most; i++)
            both[i] = compare(&list[a], &more[b]) <= 0 ? list[a++] : more[b++];
        memcpy(list, both, (size_t)most * sizeof *list);
    }
    tess_free(both);
}

/* The best of all ranks to all of them. */
static void collect(struct pairing *pairing)
{
    MPI_Datatype type;
    MPI_Op op;

    for (int64_t i = pairing->n_kept; i < pairing->most; i++)
        pairing->kept[i] = (struct kept){INFINITY, -1};
    MPI_Type_contiguous(tess_int(pairing->most * (int64_t)sizeof *pairing->kept), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    MPI_Op_create(merge, 1, &op);
    MPI_Allreduce(MPI_IN_PLACE, pairing->kept, 1, type, op, pairing->work->comm);
    MPI_Op_free(&op);
    MPI_Type_free(&type);
}

static int by_number(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    return (x->pair > y->pair) - (x->pair < y->pair);
}

/* The most of three phases: blocks are screened, for which the model reads a second row of each;
 * the best are merged, MPI's copy and one of ours beside them, and become sets; those are screened.
 */
static double bytes_of(const struct pairing *pairing, int64_t n_parts)
{
    const struct screening *work = pairing->work;
    int64_t block = pairing->n_pairs < BLOCK ? pairing->n_pairs : BLOCK;
    double most = (double)pairing->most, kept = (most + BLOCK) * sizeof *pairing->kept;
    double screened = (double)block * (double)(sizeof *work->result + TESS_SCREENING_PAIR_BYTES) +
                      tess_screening_predict_bytes(work, block) +
                      fmin((double)block, TESS_MODEL_ROWS) * work->model.network.shape.dim * 4.0;
    double merged = most * fmax(2.0 * sizeof *pairing->kept, (double)TESS_SCREENING_PAIR_BYTES);

    return fmax(kept + fmax(screened, merged), tess_screening_bytes(work, pairing->most)) +
           (double)n_parts * 3 * sizeof(double);
}

static int keep_best(struct pairing *pairing, struct tess_sets *sets, struct tess_error *error)
{
    struct screening *work = pairing->work;
    const struct tess_parts parts = {work->comm, (pairing->n_pairs + BLOCK - 1) / BLOCK, pairing,
                                     place_block, screen_block};
    double *spread = TESS_NEW(double, 3 * parts.n);

    tess_info(
        "all %lld pairs of %lld perturbations, of which the best %lld are kept; about %.3g MB "
        "of memory on each rank beside the model's",
        (long long)pairing->n_pairs, (long long)pairing->n, (long long)pairing->most,
        bytes_of(pairing, parts.n) / 1e6);
    pairing->kept =
        tess_alloc_large((size_t)(pairing->most + BLOCK), sizeof *pairing->kept, "pairs", error);
    if (tess_agree(work->comm, error) == TESS_OK &&
        tess_parts_sum(&parts, 3 * parts.n, spread, error) == TESS_OK) {
        collect(pairing);
        for (int64_t part = 0; part < parts.n; part++)
            add_spread(&work->spread, spread + 3 * part);
        qsort(pairing->kept, (size_t)pairing->most, sizeof *pairing->kept, by_number);
        for (int64_t i = 0; i < pairing->most; i++)
            add_pairs(pairing, pairing->kept[i].pair, pairing->kept[i].pair + 1, sets);
        work->n_pairs = pairing->n_pairs;
    }
    tess_free(pairing->kept);
    tess_free(spread);
    return error->code;
}

int tess_screening_pair(struct screening *work, struct tess_error *error)
{
    struct tess_sets singles = work->perturbation, pairs = {0};
    struct pairing pairing = {.work = work, .single = singles.member};
    int64_t most = work->screen->top > 0 ? work->screen->top : TESS_SCREEN_PAIRS;
    int64_t control = tess_vocab_find(&work->model.perturbation, TESS_CONTROL);

    for (int64_t i = 0; i < singles.n; i++)
        if (singles.member[i] != control)
            singles.member[pairing.n++] = singles.member[i];
    pairing.n_pairs = pairing.n * (pairing.n - 1) / 2;
    pairing.most = most < pairing.n_pairs ? most : pairing.n_pairs;
    if (pairing.n < 2)
        tess_error_set(error, TESS_EDATA,
                       "--pairs all: %lld perturbation beside control make no pair",
                       (long long)pairing.n);
    else if (pairing.most > MOST_KEPT || (work->screen->next > 0 && pairing.n_pairs > MOST_KEPT))
        tess_error_set(error, TESS_EUSAGE,
                       "--pairs all: %lld pairs are kept, which are more than %d: give a smaller "
                       "--top, or fewer --perturbations",
                       (long long)(work->screen->next > 0 ? pairing.n_pairs : pairing.most),
                       MOST_KEPT);
    else if (work->screen->next > 0 || pairing.most == pairing.n_pairs) {
        tess_info("all %lld pairs of %lld perturbations; about %.3g MB of memory on each rank "
                  "beside the model's",
                  (long long)pairing.n_pairs, (long long)pairing.n,
                  tess_screening_bytes(work, pairing.n_pairs) / 1e6);
        add_pairs(&pairing, 0, pairing.n_pairs, &pairs);
    } else
        keep_best(&pairing, &pairs, error);
    tess_sets_release(&singles);
    work->perturbation = pairs;
    return error->code;
}
