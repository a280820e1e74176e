/* encoder.h -- the vector that stands for a perturbation, made of the rows of its components, and
 * the gradient on its way back; likewise of whatever else is a weighted sum of rows
 * (composition.h).
 *
 * A perturbation is one component (A) or a combination of several (A+B+…), each with a row of the
 * embedding table. The encoder makes one vector of them, which the network takes. Training,
 * validation and prediction all come here, so that they cannot differ; whatever else a vector is to
 * be made of (another rule for combinations, rows computed from features, doses) is a field of the
 * encoder or of the perturbations, forward and backward side by side. Local, pure. */
#ifndef TESSERA_ENCODER_H
#define TESSERA_ENCODER_H

#include <stdint.h>

struct tess_config;

struct tess_encoder {
    int dim; /* D: columns of a component's row and of a vector */
    /* enum tess_combination_rule of config.h: how the rows of a combination become one vector */
    int rule;
};

/* Perturbation i has the components component[first[i] .. first[i + 1]): rows of what is given as
 * `row` below. At least one each; first[0] need not be 0. Borrowed. */
struct tess_perturbations {
    int64_t n;
    const int64_t *first; /* (n + 1) */
    const int64_t *component;
    /* What each of them counts in the sum, whatever the rule; NULL: as the rule says. */
    const float *weight;
};

/* What each of n rows counts in a vector by the rule: 1/n of a mean, all of a sum. */
float tess_encoder_weight(const struct tess_encoder *encoder, int64_t n);
/* As the settings say. */
void tess_encoder_init(struct tess_encoder *encoder, const struct tess_config *config);

/* vector (n, D) from row (·, D). One component's row is its vector, to the bit. */
void tess_encoder_forward(const struct tess_encoder *encoder,
                          const struct tess_perturbations *perturbations, const float *row,
                          float *vector);
/* drow (n_rows, D), the gradient of all rows, from dvector (n, D): written, not added to. */
void tess_encoder_backward(const struct tess_encoder *encoder,
                           const struct tess_perturbations *perturbations, const float *row,
                           const float *dvector, int64_t n_rows, float *drow);

#endif
