/* onednn.h -- products of bfloat16 matrices by oneDNN (versions 2 and 3, whose interfaces differ),
 * one thread each. Without oneDNN there is no unit and nothing else is called. Local. */
#ifndef ONEDNN_H
#define ONEDNN_H

#include "tessera/bfloat16.h"

#include <stddef.h>

/* The best unit that oneDNN uses on this processor, or TESS_UNIT_SGEMM. DNNL_MAX_CPU_ISA and
 * ONEDNN_MAX_CPU_ISA, which oneDNN reads, forbid units. */
enum tess_unit tess_onednn_unit(void);
/* As loaded; NULL: none. Own of the caller. */
char *tess_onednn_version(void);

/* One thread's products: those that it has computed stay prepared. */
struct tess_onednn;
struct tess_onednn *tess_onednn_make(void);
void tess_onednn_release(struct tess_onednn *onednn);

/* A matrix w (H, H) in the order that products want, as b = w or b = wᵀ: bytes, and the order
 * itself. */
size_t tess_onednn_packed_size(struct tess_onednn *onednn, int H);
void tess_onednn_pack(struct tess_onednn *onednn, int H, int transposed, const uint16_t *w,
                      void *to);
/* c (n, H) = a (n, H) · b of a packed b. */
void tess_onednn_rows(struct tess_onednn *onednn, int n, int H, const uint16_t *a, const void *b,
                      float *c);
/* c (H, H) = aᵀ b, or added to it, of a and b (n, H). */
void tess_onednn_outer(struct tess_onednn *onednn, const struct tess_gemm *gemm, int n);

#endif
