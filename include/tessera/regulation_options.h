/* regulation_options.h -- what `tessera network infer` is asked for. */
#ifndef TESSERA_REGULATION_OPTIONS_H
#define TESSERA_REGULATION_OPTIONS_H

#include <stdint.h>

enum tess_regulation_method {
    TESS_BY_EVIDENCE,
    TESS_BY_EFFECT,
    TESS_BY_CORRELATION,
    TESS_BY_DIRECT,
    TESS_BY_INSPRE,
    TESS_BY_PARTIAL, /* every row is a sample: nothing need be perturbed */
    TESS_BY_METHODS
};

struct tess_regulation_options {
    /* a store; a file with the columns perturbation and context; a run or a checkpoint, whose
     * predictions are taken */
    const char *input;
    const char *context; /* of the knock-outs, and of the control */
    const char *knockdown; /* context of further, weaker perturbations of the same genes; or NULL */
    const char *complete; /* a run, or a checkpoint: its model completes what was not knocked out */
    const char *output;
    int force; /* replace an output that is there */
    enum tess_regulation_method method;
    int64_t n_edges; /* written at most, the best ones */
    double cutoff; /* causes below so many units of noise are left out of the refit; -1: what suits
                    */
};

#endif
