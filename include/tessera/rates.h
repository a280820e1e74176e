/* rates.h -- the parts of a model that learn at rates of their own: its tables, and the network.
 * All functions are local. */
#ifndef TESSERA_RATES_H
#define TESSERA_RATES_H

struct tess_config;
struct tess_error;

/* Tables have the numbers of enum tess_embedding (network.h): perturbations, readouts, contexts. */
enum { TESS_PART_NETWORK = 3, TESS_N_PARTS };

/* What the learning rate of a part is multiplied with: 1 as a rule, 0 of one that is frozen. */
double tess_rates_factor(const struct tess_config *config, int part);
/* TESS_ECONFIG if train.freeze names what is no part, or all of them, or if a part would decay to
 * nothing in one step. */
int tess_rates_check(const struct tess_config *config, struct tess_error *error);

#endif
