/* tuples.c -- a hash table without a node for each entry: at a hundred million rows the memory
 * that nodes lie scattered in is what costs. */
#include "tessera/tuples.h"

#include "tessera/alloc.h"

#include <string.h>
#include <xxhash.h>

void tess_tuples_init(struct tess_tuples *tuples, int64_t width)
{
    *tuples = (struct tess_tuples){.width = width};
}

/* Linear probing. The slots are a power of two and at most half full, so that it ends soon. */
static int64_t *find_slot(const struct tess_tuples *tuples, const int32_t *code)
{
    size_t bytes = (size_t)tuples->width * sizeof *code;
    uint64_t at = XXH3_64bits(code, bytes), mask = (uint64_t)tuples->n_slots - 1;
    int64_t *slot;

    for (;; at++) {
        slot = &tuples->slot[at & mask];
        if (*slot < 0 || memcmp(tuples->code + *slot * tuples->width, code, bytes) == 0)
            return slot;
    }
}

static void make_slots(struct tess_tuples *tuples, int64_t n_slots)
{
    tess_free(tuples->slot);
    tuples->slot = TESS_NEW(int64_t, n_slots);
    tuples->n_slots = n_slots;
    memset(tuples->slot, 0xff, (size_t)n_slots * sizeof *tuples->slot);
    for (int64_t i = 0; i < tuples->n; i++)
        *find_slot(tuples, tuples->code + i * tuples->width) = i;
}

int64_t tess_tuples_add(struct tess_tuples *tuples, const int32_t *code)
{
    size_t bytes = (size_t)tuples->width * sizeof *code;
    int64_t *slot;

    if (tuples->width == 0) { /* there is one of nothing */
        tuples->n = 1;
        return 0;
    }
    if (tuples->n > 0 && memcmp(tuples->code + tuples->last * tuples->width, code, bytes) == 0)
        return tuples->last; /* files list them in runs */
    if (2 * tuples->n >= tuples->n_slots)
        make_slots(tuples, tuples->n_slots ? 4 * tuples->n_slots : 1024);
    slot = find_slot(tuples, code);
    if (*slot < 0) {
        tuples->code = tess_grow(tuples->code, &tuples->room,
                                 (size_t)((tuples->n + 1) * tuples->width), sizeof *code);
        memcpy(tuples->code + tuples->n * tuples->width, code, bytes);
        *slot = tuples->n++;
    }
    return tuples->last = *slot;
}

void tess_tuples_release(struct tess_tuples *tuples)
{
    tess_free(tuples->code);
    tess_free(tuples->slot);
    *tuples = (struct tess_tuples){0};
}
