/* evidence.h -- six kinds of evidence for an edge from a regulator to a target, which are added.
 *
 * Matrices are (m, n): all regulators × this rank's targets (effects.h). In the sentences, K and D
 * are the z of knock-outs and knock-downs, b the weight of a knock-down, o a regulator's own
 * effect, N the larger of m and t.
 *   1 effect        Z = (K + b D) / sqrt(1 + b²), or the one that was measured
 *   2 not a path    P, the strongest two steps through another regulator; |Z| and |Z - P|, the less
 *   3 competition   divided by what the target's effects amount to: S; S²/2 counts
 *   4 hubs          H = log(1 + surviving effects of the regulator); 0.75 H counts. Of one with a
 *                   knock-down alone: what is to be expected after those with both
 *   5 co-variation  C, correlation of both genes over all perturbations; 10 C² counts
 *   6 refit         L, log odds of a spike-and-slab regression of each target on all regulators;
 *                   0.4 L counts, L from -10 to 30
 * Where only the knock-down was measured, o is what that does to the own gene (tess_effects_own).
 * All is collective but for what says otherwise. */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include "tessera/effects.h"

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
/* What the lists of steps 2 and 6 take on each rank, while they are made. After step 1. */
double tess_evidence_list_bytes(const struct tess_evidence *evidence, double cutoff);
double tess_evidence_sigmoid(double x); /* local */
/* Of a regulator moved by z units: how far it counts as a cause, z times how likely that is real.
 * Local. */
double tess_evidence_cause(const struct tess_evidence *evidence, double z);
/* What regulator i does to this rank's target j, relative to its own effect; 0 if that is next to
 * nothing. Local. */
double tess_evidence_relative(const struct tess_evidence *evidence, int64_t i, int64_t j);
void tess_evidence_release(struct tess_evidence *evidence);

#endif
