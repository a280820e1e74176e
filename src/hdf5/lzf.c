/* lzf.c -- LZF as an HDF5 filter.
 *
 * The stream is a sequence of runs. A first byte below 32 announces that many plus one literal
 * bytes. Otherwise its upper 3 bits are a length (7: another byte adds to it) and its lower 5 with
 * the next byte a distance back: length + 2 bytes are copied from distance + 1 bytes before. */
#include "lzf.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#define LZF_FILTER   32000
#define LZF_ROOM_MAX ((size_t)1 << 32) /* HDF5's own limit for a chunk */

size_t tess_lzf_decode(const unsigned char *in, size_t n_in, unsigned char *out, size_t room)
{
    size_t at = 0, done = 0;

    while (at < n_in) {
        size_t head = in[at++], length = head >> 5, back;

        if (length == 0) {
            length = head + 1;
            if (length > n_in - at || length > room - done)
                return 0;
            memcpy(out + done, in + at, length);
            at += length;
            done += length;
            continue;
        }
        if (length == 7 && at < n_in)
            length += in[at++];
        if (at == n_in)
            return 0;
        back = ((head & 31) << 8) + in[at++] + 1;
        length += 2;
        if (back > done || length > room - done)
            return 0;
        for (; length > 0; length--, done++) /* the two may overlap: byte by byte */
            out[done] = out[done - back];
    }
    return done;
}

/* `values` are h5py's: versions, then the size of a whole chunk (absent in old files). */
static size_t filter(unsigned flags, size_t n_values, const unsigned values[], size_t n_bytes,
                     size_t *room, void **buffer)
{
    size_t size = n_values >= 3 && values[2] > 0 ? values[2] : *room, done = 0;
    unsigned char *out = NULL;

    if (!(flags & H5Z_FLAG_REVERSE))
        return 0;
    while (done == 0 && size > 0 && size <= LZF_ROOM_MAX) {
        free(out);
        out = malloc(size);
        if (!out)
            return 0;
        done = tess_lzf_decode(*buffer, n_bytes, out, size);
        /* a run makes at most 264 bytes of 3: beyond that the stream itself is damaged */
        if (done == 0 && (n_values >= 3 || size / 88 > n_bytes))
            break;
        size *= 2;
    }
    if (done == 0) {
        free(out);
        return 0;
    }
    free(*buffer);
    *buffer = out;
    *room = done;
    return done;
}

void tess_lzf_register(void)
{
    static const H5Z_class2_t lzf = {
        H5Z_CLASS_T_VERS, LZF_FILTER, 0, 1, "lzf", NULL, NULL, filter,
    };

    H5Zregister(&lzf);
}
