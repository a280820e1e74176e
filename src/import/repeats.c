/* repeats.c -- rows that two files share. A file that was copied, or cut out of another, gives
 * replicates that agree perfectly and a noise ceiling that is none. */
#include "repeats.h"

#include "tessera/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ENOUGH 4 /* values that no two measurements have in common by chance */

struct tess_repeat {
    uint64_t key; /* of perturbation, context and values */
    int32_t file;
    int32_t n; /* values that are neither zero nor missing, at most ENOUGH */
};

void tess_repeats_add(struct tess_repeats *repeats, int64_t f, const struct tess_plan_group *group,
                      const struct tess_row_values *row)
{
    struct tess_repeat one = {.file = (int32_t)f};

    for (int64_t k = 0; k < row->n; k++) { /* in any order: files differ in theirs */
        struct {
            int32_t readout;
            float value;
        } part = {row->number[row->index ? row->index[k] : k], row->value[k]};

        if (isnan(part.value) || part.value == 0) /* zeros may be listed or not */
            continue;
        one.key += XXH3_64bits(&part, sizeof part);
        one.n += one.n < ENOUGH;
    }
    if (one.n == 0)
        return;
    one.key = XXH3_64bits_withSeed(&one.key, sizeof one.key,
                                   (uint64_t)group->combination << 32 | (uint32_t)group->context);
    repeats->item =
        tess_grow(repeats->item, &repeats->room, repeats->n + 1, sizeof repeats->item[0]);
    repeats->item[repeats->n++] = one;
}

static int compare(const void *a, const void *b)
{
    const struct tess_repeat *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->file > y->file) - (x->file < y->file);
}

/* Of one file: rows, and those that an earlier file has, too. */
struct count {
    int64_t n, n_repeated, n_certain; /* certain: of ENOUGH values */
    int32_t first; /* one such file */
};

/* Sorted, equal rows are neighbours, and the first of a run is of the earliest file: it stays
 * uncounted, as do further ones of that same file, which are replicates as any. */
static void count_repeats(const struct tess_repeats *repeats, struct count *count)
{
    if (repeats->n)
        qsort(repeats->item, repeats->n, sizeof repeats->item[0], compare);
    for (size_t i = 0, start = 0; i < repeats->n; i++) {
        const struct tess_repeat *one = &repeats->item[i];

        if (one->key != repeats->item[start].key)
            start = i;
        count[one->file].n++;
        if (one->file == repeats->item[start].file)
            continue;
        count[one->file].n_repeated++;
        count[one->file].n_certain += one->n == ENOUGH;
        count[one->file].first = repeats->item[start].file;
    }
}

void tess_repeats_remark(const struct tess_repeats *repeats, const struct tess_plan *plan,
                         struct tess_strings *remark)
{
    struct count *count = TESS_NEW(struct count, plan->n_files);

    count_repeats(repeats, count);
    for (int64_t f = 0; f < plan->n_files; f++) {
        char *text;

        /* rows of a value or two agree by chance now and then, but not most of them */
        if (!count[f].n_certain &&
            (count[f].n_repeated < 2 || 2 * count[f].n_repeated < count[f].n))
            continue;
        text = tess_format("%lld of %lld rows of %s stand in %s, too, value by value: as "
                           "replicates they agree perfectly, and scores beside them mean nothing",
                           (long long)count[f].n_repeated, (long long)count[f].n,
                           plan->file[f].source.path, plan->file[count[f].first].source.path);
        tess_strings_add(remark, text);
        tess_free(text);
    }
    tess_free(count);
}

void tess_repeats_release(struct tess_repeats *repeats)
{
    tess_free(repeats->item);
    *repeats = (struct tess_repeats){0};
}
