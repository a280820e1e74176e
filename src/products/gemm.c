/* gemm.c -- matrix products behind one door. */
#include "tessera/gemm.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/clock.h"

#include <cblas.h>

/* Leading dimensions are those of the matrices as they are stored, before op(). */
static void multiply(const struct tess_gemm *g)
{
    if (g->m == 0 || g->n == 0)
        return;
    if (g->low.a) {
        tess_bfloat16_multiply(g);
        return;
    }
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans,
                g->trans_b ? CblasTrans : CblasNoTrans, g->m, g->n, g->k, 1, g->a,
                g->trans_a ? g->m : g->k, g->b, g->trans_b ? g->k : g->n, g->beta, g->c,
                (blasint)(g->ldc ? g->ldc : g->n));
}

void tess_probe_release(struct tess_probe *probe)
{
    tess_free(probe->call);
    *probe = (struct tess_probe){0};
}

void tess_probe_lap(struct tess_probe *probe, enum tess_phase phase)
{
    double now;

    if (!probe || !probe->timing)
        return;
    now = tess_clock();
    if (phase < TESS_N_PHASES)
        probe->seconds[phase] += now - probe->last;
    probe->last = now;
}

double tess_probe_replay(const struct tess_probe *probe)
{
    double start = tess_clock();

    for (size_t i = 0; i < probe->n; i++)
        multiply(&probe->call[i]);
    return tess_clock() - start;
}

void tess_gemm(struct tess_probe *probe, const struct tess_gemm *gemm)
{
    tess_probe_lap(probe, TESS_PHASE_FUSED);
    if (probe && probe->recording) {
        probe->call = tess_grow(probe->call, &probe->room, probe->n + 1, sizeof *probe->call);
        probe->call[probe->n++] = *gemm;
    }
    multiply(gemm);
    tess_probe_lap(probe, gemm->phase);
}
