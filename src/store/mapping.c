/* mapping.c -- numbers to numbers, by name. */
#include "tessera/mapping.h"

#include "tessera/alloc.h"
#include "tessera/sets.h"
#include "tessera/vocab.h"

#include <string.h>

static void make(struct tess_mapping *mapping, int64_t n)
{
    *mapping = (struct tess_mapping){n, TESS_NEW(int64_t, n)};
}

/* Both vocabularies are sorted: one walk through the two. */
void tess_mapping_init(struct tess_mapping *mapping, const struct tess_vocab *from,
                       const struct tess_vocab *to, const uint8_t *trained)
{
    int64_t at = 0;

    make(mapping, from->n);
    for (int64_t i = 0; i < from->n; i++) {
        int order = -1;

        while (at < to->n && (order = strcmp(to->symbol[at], from->symbol[i])) < 0)
            at++;
        mapping->to[i] = at < to->n && order == 0 && (!trained || trained[at]) ? at : -1;
    }
}

void tess_mapping_init_names(struct tess_mapping *mapping, int64_t n, const char *const *name,
                             const struct tess_vocab *to)
{
    make(mapping, n);
    for (int64_t i = 0; i < n; i++)
        mapping->to[i] = tess_vocab_find(to, name[i]);
}

void tess_mapping_init_sets(struct tess_mapping *mapping, const struct tess_sets *from,
                            const struct tess_mapping *member, const struct tess_sets *to)
{
    int64_t *there = NULL;
    size_t room = 0;

    make(mapping, from->n);
    for (int64_t i = 0; i < from->n; i++) {
        int64_t begin = from->first[i], n = from->first[i + 1] - begin;

        there = tess_grow(there, &room, (size_t)n + 1, sizeof *there);
        n = tess_mapping_translate(member, n, from->member + begin, there);
        mapping->to[i] = n < 0 ? -1 : tess_sets_find(to, n, there);
    }
    tess_free(there);
}

void tess_mapping_release(struct tess_mapping *mapping)
{
    tess_free(mapping->to);
    *mapping = (struct tess_mapping){0};
}

int64_t tess_mapping_translate(const struct tess_mapping *mapping, int64_t n, const int64_t *number,
                               int64_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = tess_mapping_at(mapping, number[i]);
        if (out[i] < 0)
            return -1;
    }
    return tess_set_tidy(n, out);
}

int tess_mapping_add_set(const struct tess_mapping *mapping, int64_t n, const int64_t *number,
                         struct tess_sets *sets)
{
    int64_t *there = TESS_NEW(int64_t, n);

    n = tess_mapping_translate(mapping, n, number, there);
    if (n >= 0)
        tess_sets_add(sets, n, there);
    tess_free(there);
    return n >= 0;
}
