/* bfloat16.h -- products of matrices of bfloat16 numbers, summed in float32: what a processor's
 * matrix unit computes.
 *
 * A bfloat16 is the upper half of a float32: as large a range, 8 bits of precision. Where there is
 * a unit that is faster than sgemm (Intel's AMX, AVX512-BF16 of AMD), oneDNN's matrix product uses
 * it; elsewhere sgemm multiplies the rounded operands, which is right but no faster: the two differ
 * by the order of their sums alone, some 1e-6 of the largest product. A unit's bits do not depend
 * on the number of threads. Operands lie in memory as bfloat16, row-major; numbers of rows are
 * whole multiples of TESS_BFLOAT16_ROWS, filled up with zeroes, so that there are few different
 * shapes. All of it is local. Errors: a unit that fails when it has worked at the start ends the
 * program. */
#ifndef TESSERA_BFLOAT16_H
#define TESSERA_BFLOAT16_H

#include "tessera/gemm.h"

#include <stdint.h>

#define TESS_BFLOAT16_ROWS 32

enum tess_unit { TESS_UNIT_SGEMM, TESS_UNIT_AVX512, TESS_UNIT_AMX };

/* The unit that products use from now on; at the start the best one of this processor that is
 * faster than sgemm. tess_unit_use is for ranks that differ, and for tests; not while products are
 * computed or packed matrices exist. */
enum tess_unit tess_unit(void);
void tess_unit_use(enum tess_unit unit);
/* "none", "avx512_bf16", "amx_bf16" */
const char *tess_unit_name(enum tess_unit unit);
/* Version of oneDNN as loaded ("2.7.4"); NULL: built without it. Own of the caller. */
char *tess_unit_library(void);

/* enum tess_precision of config.h: its name, and a name's; of NULL AUTO, of none -1. */
const char *tess_precision_name(int precision);
int tess_precision_parse(const char *text);
/* Are products to have bfloat16 operands? AUTO: where there is a unit for them. */
int tess_precision_is_low(int64_t precision);

/* n rounded up to whole multiples of TESS_BFLOAT16_ROWS. */
int64_t tess_bfloat16_rows(int64_t n);
/* To the nearest, ties to even; NaN stays NaN. */
void tess_bfloat16_round(int64_t n, const float *x, uint16_t *out);
void tess_bfloat16_widen(int64_t n, const uint16_t *x, float *out);

/* Square matrices, rounded and laid out as the unit wants them: once for all products and all
 * threads of a step. */
struct tess_packed;
struct tess_packed *tess_packed_make(int n_matrices, int H);
/* From w (n_matrices, H, H). */
void tess_packed_set(struct tess_packed *packed, const float *w);
void tess_packed_release(struct tess_packed *packed);

/* What a thread needs for its products; made by its first one (gemm.h). */
struct tess_multiplier;
void tess_multiplier_release(struct tess_multiplier *multiplier);

/* A product with bfloat16 operands, gemm->low (gemm.h): a (m, H) · W or Wᵀ of packed matrices, or
 * aᵀ b of two operands of k rows, both with H columns. For gemm.c. */
void tess_bfloat16_multiply(const struct tess_gemm *gemm);

#endif
