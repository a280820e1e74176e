/* streams.h -- the random streams of a simulation. */
#ifndef STREAMS_H
#define STREAMS_H

#include "tessera/random.h"
#include "tessera/simulate.h"

/* What a stream of TESS_RANDOM_SIMULATE is for. Append only: part of what a seed means. */
enum part {
    PART_BASE,
    PART_BASE_CONTEXT,
    PART_U,
    PART_V,
    PART_U_MIXED,
    PART_V_MIXED,
    PART_W_MIXED,
    PART_EPISTASIS,
    PART_NOISE,
    PART_MISSING,
    PART_MEASURED,
    PART_PANEL,
    PART_COMBINATION,
    PART_SPLIT,
    PART_DEPTH,
    PART_COUNT,
    PART_EDGE,
    PART_WEIGHT,
    PART_WEIGHT_CONTEXT,
    PART_SHIFT,
    PART_TARGET,
    PART_ORDER,
    PART_MECHANISM,
};

static inline struct tess_random part_stream(const struct tess_simulate *simulate, enum part part)
{
    return tess_random_stream((uint64_t)simulate->seed, TESS_RANDOM_SIMULATE, (uint64_t)part);
}

#endif
