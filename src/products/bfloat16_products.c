/* bfloat16_products.c -- products by the unit in use: oneDNN, or sgemm of the operands made wide.
 */
#include "tessera/bfloat16.h"

#include "onednn.h"

#include "tessera/alloc.h"

#include <cblas.h>
#include <string.h>

/* Rows of one product at most: a few shapes for any number of rows. */
#define ROWS 256

/* Each matrix twice, for both sides; with sgemm once, wide and as it is. */
struct tess_packed {
    int n, H;
    size_t bytes; /* of one form of a matrix */
    char *matrix; /* (n, 2 or 1, bytes) own */
    struct tess_onednn *onednn;
    uint16_t *rounded; /* (H, H) own */
};

struct tess_multiplier {
    struct tess_onednn *onednn;
    size_t room;
    float *wide; /* (room) own: operands for sgemm */
};

static int forms(void)
{
    return tess_unit() == TESS_UNIT_SGEMM ? 1 : 2;
}

struct tess_packed *tess_packed_make(int n_matrices, int H)
{
    struct tess_packed *packed = TESS_NEW(struct tess_packed, 1);
    size_t size = (size_t)H * (size_t)H;

    packed->n = n_matrices;
    packed->H = H;
    packed->rounded = TESS_NEW(uint16_t, size);
    packed->bytes = size * sizeof(float);
    if (tess_unit() != TESS_UNIT_SGEMM) {
        packed->onednn = tess_onednn_make();
        packed->bytes = (tess_onednn_packed_size(packed->onednn, H) + 63) / 64 * 64;
    }
    packed->matrix = TESS_NEW(char, (size_t)n_matrices *(size_t)forms() * packed->bytes);
    return packed;
}

void tess_packed_release(struct tess_packed *packed)
{
    if (!packed)
        return;
    tess_onednn_release(packed->onednn);
    tess_free(packed->matrix);
    tess_free(packed->rounded);
    tess_free(packed);
}

static void *form_of(const struct tess_packed *packed, int matrix, int transposed)
{
    return packed->matrix + ((size_t)matrix * (size_t)forms() + (size_t)transposed) * packed->bytes;
}

void tess_packed_set(struct tess_packed *packed, const float *w)
{
    int H = packed->H;
    int64_t size = (int64_t)H * H;

    for (int i = 0; i < packed->n; i++) {
        tess_bfloat16_round(size, w + i * size, packed->rounded);
        if (tess_unit() == TESS_UNIT_SGEMM) {
            tess_bfloat16_widen(size, packed->rounded, form_of(packed, i, 0));
            continue;
        }
        for (int transposed = 0; transposed < 2; transposed++)
            tess_onednn_pack(packed->onednn, H, transposed, packed->rounded,
                             form_of(packed, i, transposed));
    }
}

static struct tess_multiplier *multiplier_of(const struct tess_gemm *gemm)
{
    struct tess_multiplier *multiplier = *gemm->low.multiplier;

    if (!multiplier)
        *gemm->low.multiplier = multiplier = TESS_NEW(struct tess_multiplier, 1);
    if (tess_unit() != TESS_UNIT_SGEMM && !multiplier->onednn)
        multiplier->onednn = tess_onednn_make();
    return multiplier;
}

void tess_multiplier_release(struct tess_multiplier *multiplier)
{
    if (!multiplier)
        return;
    tess_onednn_release(multiplier->onednn);
    tess_free(multiplier->wide);
    tess_free(multiplier);
}

/* `n` rows of both operands in float32. */
static void widen(struct tess_multiplier *multiplier, int64_t n, const struct tess_gemm *g)
{
    size_t size = (size_t)n * (size_t)g->n;

    if (2 * size > multiplier->room) {
        tess_free(multiplier->wide);
        multiplier->wide = TESS_NEW(float, 2 * size);
        multiplier->room = 2 * size;
    }
    tess_bfloat16_widen((int64_t)size, g->low.a, multiplier->wide);
    if (g->low.b)
        tess_bfloat16_widen((int64_t)size, g->low.b, multiplier->wide + size);
}

static void by_sgemm(struct tess_multiplier *multiplier, const struct tess_gemm *g)
{
    int H = g->n, n = g->low.b ? g->k : g->m;

    widen(multiplier, n, g);
    if (g->low.b)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, H, H, n, 1, multiplier->wide, H,
                    multiplier->wide + (int64_t)n * H, H, g->beta, g->c, H);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, g->trans_b ? CblasTrans : CblasNoTrans, n, H, H, 1,
                    multiplier->wide, H, form_of(g->low.packed, g->low.matrix, 0), H, 0, g->c, H);
}

/* ROWS rows and the rest, filled up: the operands and c have room for them. */
static void by_unit(struct tess_multiplier *multiplier, const struct tess_gemm *gemm)
{
    struct tess_gemm g = *gemm;
    int64_t H = g.n, all = tess_bfloat16_rows(g.low.b ? g.k : g.m);

    for (int64_t first = 0; first < all; first += ROWS) {
        int n = (int)(all - first < ROWS ? all - first : ROWS);

        if (!g.low.b) {
            tess_onednn_rows(multiplier->onednn, n, (int)H, g.low.a + first * H,
                             form_of(g.low.packed, g.low.matrix, g.trans_b), g.c + first * H);
            continue;
        }
        g.low.a = gemm->low.a + first * H;
        g.low.b = gemm->low.b + first * H;
        tess_onednn_outer(multiplier->onednn, &g, n);
        g.beta = 1;
    }
}

void tess_bfloat16_multiply(const struct tess_gemm *gemm)
{
    struct tess_multiplier *multiplier = multiplier_of(gemm);

    if (tess_unit() == TESS_UNIT_SGEMM)
        by_sgemm(multiplier, gemm);
    else
        by_unit(multiplier, gemm);
}
