/* evidence.h -- six kinds of evidence for an edge from a regulator to a target, which are added.
 *
 * Matrices are (m, n): all regulators × this rank's targets (effects.h). In the sentences, K and D
 * are the z of knock-outs and knock-downs, b the weight of a knock-down, o a regulator's own
 * effect, N the larger of m and t.
 *   1 effect        Z = (K + b D) / sqrt(1 + b²), or the one that was measured
 *   2 not a path    P, the strongest two steps through another regulator; |Z| and |Z - P|, the less
 *   3 competition   divided by what the target's effects amount to: S; S²/2 counts
 *   4 hubs          H = log(1 + surviving effects of the regulator); 0.75 H counts
 *   5 co-variation  C, correlation of both genes over all perturbations; 10 C² counts
 *   6 refit         L, log odds of a spike-and-slab regression of each target on all regulators;
 *                   0.4 L counts, L from -10 to 30
 * All is collective but for what says otherwise. */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include "effects.h"

struct tess_evidence {
    const struct tess_effects *effects; /* borrowed */
    double *z, *s, *c, *l; /* (m, n) own; c, l: NULL until they are made */
    double *crowding; /* (n) by which step 3 divides; own */
    double *hub; /* (m) H; own */
    double real; /* an effect of so many units is as likely real as not */
    double survives; /* what counts in steps 3 and 4 */
    double rare; /* log odds that a pair is an edge, before anything is known */
};

/* Step 1. */
int tess_evidence_combine(struct tess_evidence *evidence, const struct tess_effects *effects,
                          struct tess_error *error);
/* Steps 2, 3 and 4. */
int tess_evidence_direct(struct tess_evidence *evidence, struct tess_error *error);
/* Step 5. */
int tess_evidence_correlate(struct tess_evidence *evidence, struct tess_error *error);
/* Step 6. Causes below `cutoff` units of noise are left out. */
int tess_evidence_refit(struct tess_evidence *evidence, double cutoff, struct tess_error *error);
/* How likely is it that an effect of z units is real? Local. */
double tess_evidence_real(const struct tess_evidence *evidence, double z);
double tess_evidence_sigmoid(double x); /* local */
void tess_evidence_release(struct tess_evidence *evidence);

#endif
