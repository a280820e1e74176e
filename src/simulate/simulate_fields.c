/* simulate_fields.c -- the settings that are numbers. */
#include "tessera/simulate.h"

#include <stddef.h>

#define AT(name) offsetof(struct tess_simulate, name)

const struct tess_simulate_field tess_simulate_fields[] = {
    {"perturbations", 0, AT(n_perturbations), 1, 1e9},
    {"readouts", 0, AT(n_readouts), 1, 1e9},
    {"contexts", 0, AT(n_contexts), 1, 1e6},
    {"combinations", 0, AT(n_combinations), 0, 1e9},
    {"mechanisms", 0, AT(n_mechanisms), 0, 1e9},
    {"order", 0, AT(order), 2, 8},
    {"replicates", 0, AT(n_replicates), 1, 1e6},
    {"controls", 0, AT(n_controls), 0, 1e6},
    {"cells", 0, AT(n_cells), 0, 1e9},
    {"rank", 0, AT(rank), 1, 1e4},
    {"seed", 0, AT(seed), 0, 1e15},
    {"effect", 1, AT(effect), 0, 100},
    {"off-target", 1, AT(off_target), 0, 100},
    {"interaction", 1, AT(interaction), 0, 100},
    {"epistasis", 1, AT(epistasis), 0, 100},
    {"synergy", 1, AT(synergy), -100, 100},
    {"noise", 1, AT(noise), 0, 100},
    {"sparsity", 1, AT(sparsity), 0, 1},
    {"missing", 1, AT(missing), 0, 1},
    {"panel-fraction", 1, AT(panel_fraction), 0, 1},
    {"degree", 1, AT(degree), 0, 30},
    {"nonlinearity", 1, AT(nonlinearity), 0, 1},
    {"depth", 1, AT(depth), 1, 1e7},
    {"dispersion", 1, AT(dispersion), 0.01, 100},
};
const int tess_n_simulate_fields = sizeof tess_simulate_fields / sizeof tess_simulate_fields[0];
