/* gold_report.c -- scores of a network for people and programs. */
#include "tessera/gold.h"

#include <inttypes.h>
#include <math.h>

static double chance(const struct tess_gold *gold)
{
    return (double)gold->n_true / (double)gold->n_pairs;
}

void tess_gold_print(const struct tess_gold *gold, FILE *out)
{
    fprintf(out,
            "%s beside %s: %" PRId64 " genes, %" PRId64 " pairs, %" PRId64 " of them edges\n"
            "AUROC  %.4f  (chance 0.5)\n"
            "AUPR   %.4f  (chance %.4f)\n",
            gold->edges, gold->path, gold->n_genes, gold->n_pairs, gold->n_true, gold->auroc,
            gold->aupr, chance(gold));
    for (int k = 0; k < gold->n_depths; k++)
        if (isnan(gold->precision[k]))
            fprintf(out, "precision at %" PRId64 "  -  (there are fewer pairs)\n", gold->depth[k]);
        else
            fprintf(out, "precision at %" PRId64 "  %.4f\n", gold->depth[k], gold->precision[k]);
    fprintf(out,
            "left out: %" PRId64 " edges of pairs that the standard says nothing of, %" PRId64
            " of a gene with itself; without a score, and so last: %" PRId64 " pairs\n",
            gold->n_outside, gold->n_self, gold->n_pairs - gold->n_scored);
}

/* Undefined is null with a reason, as in `evaluate`. */
json_t *tess_gold_json(const struct tess_gold *gold)
{
    json_t *precision = json_object(), *reasons = json_object(), *object;

    for (int k = 0; k < gold->n_depths; k++) {
        char key[32];

        snprintf(key, sizeof key, "%" PRId64, gold->depth[k]);
        if (isnan(gold->precision[k]))
            json_object_set_new(reasons, key, json_string("there are fewer pairs"));
        json_object_set_new(precision, key,
                            isnan(gold->precision[k]) ? json_null()
                                                      : json_real(gold->precision[k]));
    }
    if (json_object_size(reasons) > 0)
        json_object_set(precision, "reasons", reasons);
    json_decref(reasons);
    object = json_pack("{s:s, s:s, s:f, s:f, s:o}", "edges", gold->edges, "gold", gold->path,
                       "auroc", gold->auroc, "aupr", gold->aupr, "precision", precision);
    json_object_set_new(object, "counts",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "genes",
                                  (json_int_t)gold->n_genes, "pairs", (json_int_t)gold->n_pairs,
                                  "true", (json_int_t)gold->n_true, "scored",
                                  (json_int_t)gold->n_scored, "outside",
                                  (json_int_t)gold->n_outside, "self", (json_int_t)gold->n_self));
    return object;
}
