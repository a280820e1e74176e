/* gemm.h -- the kernel's matrix products, and a probe that watches them.
 *
 * c (m, n) = op(a) (m, k) · op(b) (k, n) + beta c; row-major, rows of a and b without gaps.
 * OpenBLAS's sgemm, or, where operands are bfloat16, what bfloat16.h has. A probe records the
 * calls, so that a benchmark can replay them alone, and the seconds of each phase of the kernel.
 * Local; one probe a thread; NULL: nobody watches. */
#ifndef TESSERA_GEMM_H
#define TESSERA_GEMM_H

#include <stddef.h>
#include <stdint.h>

enum tess_phase {
    TESS_PHASE_PROJECT, /* products of the first layer's blocks */
    TESS_PHASE_GEMM, /* products of the hidden layers */
    TESS_PHASE_FUSED, /* the passes between them */
    TESS_N_PHASES
};

struct tess_packed;
struct tess_multiplier;

/* bfloat16 operands in the place of a and b (bfloat16.h), all of H = n columns. Two kinds of
 * product: rows times a packed matrix (beta 0; b NULL), and a transposed times b (beta 0 or 1). */
struct tess_low {
    const uint16_t *a, *b; /* their rows filled up with zeroes to whole TESS_BFLOAT16_ROWS */
    const struct tess_packed *packed;
    int matrix; /* of packed */
    struct tess_multiplier **multiplier; /* the thread's */
};

struct tess_gemm {
    enum tess_phase phase;
    int m, n, k;
    int trans_a, trans_b; /* a is stored (k, m), b is stored (n, k) */
    const float *a, *b; /* borrowed, as c is */
    float beta, *c;
    int64_t ldc; /* floats from a row of c to the next; 0: n */
    struct tess_low low; /* low.a NULL: float32 */
};

struct tess_probe {
    int recording, timing;
    size_t n, room;
    struct tess_gemm *call; /* (n) own */
    double seconds[TESS_N_PHASES], last;
};
void tess_probe_release(struct tess_probe *probe);
/* The time since the last lap belongs to `phase`, and to nothing if `phase` is TESS_N_PHASES. */
void tess_probe_lap(struct tess_probe *probe, enum tess_phase phase);
/* The recorded calls again, on the same buffers (which must be there still); seconds. */
double tess_probe_replay(const struct tess_probe *probe);

/* A product; what came before it since the last lap was a fused pass. */
void tess_gemm(struct tess_probe *probe, const struct tess_gemm *gemm);

#endif
