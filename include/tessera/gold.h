/* gold.h -- a ranked list of edges beside a network that is known: `tessera network evaluate`. */
#ifndef TESSERA_GOLD_H
#define TESSERA_GOLD_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

struct tess_error;

#define TESS_GOLD_DEPTHS 16

/* Precision at each share of the true pairs that is found, of at most some 400 shares. */
struct tess_gold_curve {
    int64_t n;
    size_t room;
    double *point; /* (n, 2) recall, precision; own */
};

/* Pairs of which the standard is asked. */
struct tess_gold_question {
    int64_t n;
    const char **name; /* (n, 2) regulator, target; borrowed */
    int8_t *answer; /* (n) 1: an edge, 0: none, -1: it says nothing of the pair; borrowed */
};

struct tess_gold {
    const char *edges, *path; /* the list, the standard; borrowed */
    struct tess_gold_question *question; /* is answered if there is one; borrowed */
    int n_depths;
    int64_t depth[TESS_GOLD_DEPTHS]; /* k of precision at k */
    /* results */
    int64_t n_genes, n_pairs, n_true; /* of the standard */
    int64_t n_scored; /* pairs of it that the list has */
    int64_t n_outside; /* of the list: pairs that the standard says nothing of */
    int64_t n_self; /* of both: genes with themselves */
    double auroc, aupr; /* aupr: average precision */
    double precision[TESS_GOLD_DEPTHS]; /* NaN: there are not so many pairs */
    struct tess_gold_curve *curve; /* is filled if there is one; borrowed */
};

/* Scores the list. Pairs that it lacks come after all others, together; pairs of equal score are
 * taken together, whatever their order. TESS_EDATA naming file and line. Local. */
int tess_gold_score(struct tess_gold *gold, struct tess_error *error);
void tess_gold_print(const struct tess_gold *gold, FILE *out); /* local */
void tess_gold_curve_release(struct tess_gold_curve *curve); /* local */
json_t *tess_gold_json(const struct tess_gold *gold); /* own of the caller; local */

#endif
