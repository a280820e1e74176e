/* mechanism.c -- compounds come before the knock-outs; what one acts through is drawn. */
#include "mechanism.h"

#include "streams.h"

#include "tessera/commit.h"
#include "tessera/error.h"

#include <stdio.h>
#include <stdlib.h>

struct tess_mechanism tess_mechanism_of(const struct tess_simulate *simulate, int64_t member)
{
    struct tess_random stream = part_stream(simulate, PART_MECHANISM);
    int64_t compounds = simulate->n_mechanisms;
    uint64_t at = 2 * (uint64_t)member;

    if (member >= compounds)
        return (struct tess_mechanism){-1, 1};
    return (struct tess_mechanism){
        compounds + tess_random_below(stream, at, simulate->n_perturbations - compounds),
        0.5 + tess_random_uniform(stream, at + 1)};
}

int tess_mechanism_write(const struct tess_simulate *simulate, const char *path,
                         const char *const *symbol, struct tess_error *error)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    if (!out)
        return tess_error_set(error, TESS_EOS, "%s: no memory for its text", path);
    fputs("perturbation\ttarget\tstrength\n", out);
    for (int64_t i = 0; i < simulate->n_mechanisms; i++) {
        struct tess_mechanism mechanism = tess_mechanism_of(simulate, i);

        fprintf(out, "%s\t%s\t%.9g\n", symbol[i], symbol[mechanism.through], mechanism.strength);
    }
    if (fclose(out) != 0)
        tess_error_set(error, TESS_EOS, "%s: no memory for its text", path);
    else
        tess_commit_text(path, text, error);
    free(text);
    return error->code;
}
