/* cell_pairs.c -- pairs by their numbers: of all pairs, or of those that no path connects, which
 * are counted first. Nothing is drawn until it fits, so that a complete network ends as well. */
#include "cell_pairs.h"

#include "tessera/alloc.h"
#include "tessera/cell_groups.h"
#include "tessera/random.h"

#include <stdlib.h>
#include <string.h>

/* What a stream of TESS_RANDOM_PAIRS is for. */
enum { DRAWN, ORDER, OMITTED };

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* n distinct numbers below `total`, every set as likely as any other (Floyd): of the numbers up to
 * j one is drawn, and if it is there already, j itself is taken. */
static void draw(struct tess_random stream, int64_t n, int64_t total, int64_t *out)
{
    uint8_t *there = TESS_NEW(uint8_t, total / 8 + 1);

    for (int64_t k = 0; k < n; k++) {
        int64_t j = total - n + k, x = tess_random_below(stream, (uint64_t)k, j + 1);

        if (there[x / 8] >> x % 8 & 1)
            x = j;
        there[x / 8] = (uint8_t)(there[x / 8] | 1 << x % 8);
        out[k] = x;
    }
    tess_free(there);
}

/* Readouts that gene g may have an edge to. */
static int64_t targets_of(const struct tess_cell_groups *groups, int64_t g)
{
    return groups->readout.n - (groups->self[g] >= 0);
}

int64_t tess_cell_pairs_all(const struct tess_cell_groups *groups)
{
    int64_t n = 0;

    for (int64_t g = 0; g < groups->gene.n; g++)
        n += targets_of(groups, g);
    return n;
}

void tess_cell_pairs_draw(const struct tess_cell_groups *groups, uint64_t seed, int64_t n,
                          struct tess_cell_pair *out)
{
    int64_t all = tess_cell_pairs_all(groups), *number = TESS_NEW(int64_t, n);
    int64_t *before = TESS_NEW(int64_t, groups->gene.n + 1);

    for (int64_t g = 0; g < groups->gene.n; g++)
        before[g + 1] = before[g] + targets_of(groups, g);
    draw(tess_random_stream(seed, TESS_RANDOM_PAIRS, DRAWN), n, all, number);
    tess_random_permute(tess_random_stream(seed, TESS_RANDOM_PAIRS, ORDER), n, number);
    for (int64_t k = 0; k < n; k++) {
        int64_t low = 0, high = groups->gene.n, target;

        while (high - low > 1) {
            int64_t middle = low + (high - low) / 2;

            if (before[middle] <= number[k])
                low = middle;
            else
                high = middle;
        }
        target = number[k] - before[low];
        target += groups->self[low] >= 0 && target >= groups->self[low];
        out[k] = (struct tess_cell_pair){(int32_t)low, (int32_t)target};
    }
    tess_free(number);
    tess_free(before);
}

/* ---- paths ---- */

/* A network by regulators, and what a gene reaches. */
struct walk {
    const struct tess_cell_groups *groups;
    int64_t path_length;
    int64_t *first, *target; /* (genes + 1), (edges) own */
    int64_t *gene_of; /* (readouts) the gene that a readout is, or -1; own */
    uint8_t *reached; /* (readouts) or the gene itself; own */
    int64_t *queue; /* (readouts) in the order in which they were reached; own */
    int64_t n;
};

static void walk_init(struct walk *walk, const struct tess_cell_groups *groups,
                      const struct tess_cell_network *network)
{
    int64_t m = groups->gene.n, *next = TESS_NEW(int64_t, m);

    *walk = (struct walk){.groups = groups,
                          .path_length = network->path_length,
                          .first = TESS_NEW(int64_t, m + 1),
                          .target = TESS_NEW(int64_t, network->n),
                          .gene_of = TESS_NEW(int64_t, groups->readout.n),
                          .reached = TESS_NEW(uint8_t, groups->readout.n),
                          .queue = TESS_NEW(int64_t, groups->readout.n)};
    for (int64_t e = 0; e < network->n; e++)
        walk->first[network->edge[e].regulator + 1]++;
    for (int64_t g = 0; g < m; g++)
        next[g] = walk->first[g + 1] += walk->first[g];
    for (int64_t g = 0; g < m; g++)
        next[g] = walk->first[g];
    for (int64_t e = 0; e < network->n; e++)
        walk->target[next[network->edge[e].regulator]++] = network->edge[e].target;
    for (int64_t k = 0; k < groups->readout.n; k++)
        walk->gene_of[k] = -1;
    for (int64_t g = 0; g < m; g++)
        if (groups->self[g] >= 0)
            walk->gene_of[groups->self[g]] = g;
    tess_free(next);
}

static void walk_release(struct walk *walk)
{
    tess_free(walk->first);
    tess_free(walk->target);
    tess_free(walk->gene_of);
    tess_free(walk->reached);
    tess_free(walk->queue);
}

static void step(struct walk *walk, int64_t gene)
{
    for (int64_t e = walk->first[gene]; e < walk->first[gene + 1]; e++) {
        int64_t k = walk->target[e];

        if (walk->reached[k])
            continue;
        walk->reached[k] = 1;
        walk->queue[walk->n++] = k;
    }
}

/* What paths of at most path_length edges from a gene end at: walk->reached. Returns how many pairs
 * of the gene are left. */
static int64_t walk_from(struct walk *walk, int64_t gene)
{
    int64_t self = walk->groups->self[gene], from = 0;

    memset(walk->reached, 0, (size_t)walk->groups->readout.n);
    walk->n = 0;
    if (self >= 0)
        walk->reached[self] = 1;
    step(walk, gene);
    for (int64_t length = 1; length < walk->path_length && from < walk->n; length++)
        for (int64_t end = walk->n; from < end; from++)
            if (walk->gene_of[walk->queue[from]] >= 0)
                step(walk, walk->gene_of[walk->queue[from]]);
    return targets_of(walk->groups, gene) - walk->n;
}

/* The pairs of one gene whose numbers (ascending) are number[0 … n) less `before`. */
static void name_pairs(const struct walk *walk, int64_t gene, int64_t n, const int64_t *number,
                       int64_t before, struct tess_cell_pair *out)
{
    int64_t k = 0, at = before;

    for (int64_t target = 0; k < n; target++) {
        if (walk->reached[target])
            continue;
        if (number[k] == at)
            out[k++] = (struct tess_cell_pair){(int32_t)gene, (int32_t)target};
        at++;
    }
}

int64_t tess_cell_pairs_omitted(const struct tess_cell_groups *groups,
                                const struct tess_cell_network *network, int64_t n,
                                struct tess_cell_pair *out, int64_t *free)
{
    int64_t m = groups->gene.n, *before = TESS_NEW(int64_t, m + 1), *number, done = 0;
    struct walk walk;

    walk_init(&walk, groups, network);
    for (int64_t g = 0; g < m; g++)
        before[g + 1] = before[g] + walk_from(&walk, g);
    *free = before[m];
    n = n < before[m] ? n : before[m];
    number = TESS_NEW(int64_t, n);
    draw(tess_random_stream(network->seed, TESS_RANDOM_PAIRS, OMITTED + network->number), n,
         before[m], number);
    if (n > 0)
        qsort(number, (size_t)n, sizeof *number, ascending);
    for (int64_t g = 0, end; g < m && done < n; g++, done = end) {
        for (end = done; end < n && number[end] < before[g + 1];)
            end++;
        if (end == done)
            continue;
        walk_from(&walk, g);
        name_pairs(&walk, g, end - done, number + done, before[g], out + done);
    }
    walk_release(&walk);
    tess_free(before);
    tess_free(number);
    return n;
}
