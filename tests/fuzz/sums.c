/* sums.c -- sidecars with checksums, beside a file of a few bytes. */
#include "fuzz.h"

#include "tessera/checksums.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <mpi.h>
#include <stdio.h>

const int fuzz_needs = FUZZ_MPI;

void fuzz_one(const uint8_t *data, size_t n)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_strings damage = {0};

    fuzz_file("file.sum", data, n);
    tess_checksums_verify(fuzz_file("file", "abc", 3), MPI_COMM_SELF, &damage, &error);
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_EDATA, "file");
    tess_strings_release(&damage);
}
