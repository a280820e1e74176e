/* lzf.c -- LZF streams. The first two bytes say how much room there is. */
#include "fuzz.h"

#include "hdf5/lzf.h"

#include <stdlib.h>

const int fuzz_needs = FUZZ_NOTHING;

void fuzz_one(const uint8_t *data, size_t n)
{
    size_t room = fuzz_take(&data, &n), got;
    unsigned char *out;

    room = room << 8 | fuzz_take(&data, &n);
    out = malloc(room + 1);
    FUZZ_CHECK(out);
    got = tess_lzf_decode(data, n, out, room);
    FUZZ_CHECK(got <= room);
    free(out);
}
