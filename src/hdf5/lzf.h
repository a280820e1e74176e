/* lzf.h -- the LZF compression that h5py (and so anndata's `compression="lzf"`) writes: HDF5 filter
 * 32000, which the HDF5 library itself lacks. Decoding only. */
#ifndef LZF_H
#define LZF_H

#include <stddef.h>

/* Bytes decoded from `in` into out[0 .. room), or 0 if `in` is damaged or does not fit. Local. */
size_t tess_lzf_decode(const unsigned char *in, size_t n_in, unsigned char *out, size_t room);

/* Makes HDF5 read such datasets; tess_h5_init calls it. Local. */
void tess_lzf_register(void);

#endif
