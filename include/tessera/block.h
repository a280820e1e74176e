/* block.h -- rows of a matrix in memory, dense or compressed. Local. */
#ifndef TESSERA_BLOCK_H
#define TESSERA_BLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Rows [first, first + n): dense, or compressed rows whose unlisted places hold `fill`. */
struct tess_block {
    int64_t first, n;
    float *dense; /* (n, n_readouts) own, or NULL */
    int64_t *indptr; /* (n + 1) into index and data, starting at 0; own */
    int32_t *index; /* readout numbers, ascending within a row; own */
    float *data; /* own */
    float fill; /* 0 (counts) or NaN (not measured) */
    size_t room_dense, room_rows, room_data; /* sizes of the buffers, kept between reads */
};
void tess_block_release(struct tess_block *block);

#endif
