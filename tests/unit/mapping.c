/* mapping.c -- numbers from one side to the other, against looking at every name. */
#include "tessera/alloc.h"
#include "tessera/mapping.h"
#include "tessera/random.h"
#include "tessera/sets.h"
#include "tessera/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ALL 60

/* A random part of ALL names; some are beginnings of others, some are not ASCII. */
static void draw_vocab(struct tess_random stream, int64_t share, struct tess_vocab *vocab)
{
    char *name[ALL];
    int64_t n = 0;

    for (int64_t i = 0; i < ALL; i++)
        if (tess_random_below(stream, (uint64_t)i, 100) < share)
            name[n++] = tess_format("%s%.*s", i % 3 ? "G" : "\xce\xb2", (int)(i / 2 + 1),
                                    i % 2 ? "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                          : "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    tess_vocab_init(vocab, n, (const char *const *)name, NULL);
    for (int64_t i = 0; i < n; i++)
        tess_free(name[i]);
}

static int64_t search(const struct tess_vocab *vocab, const char *name)
{
    for (int64_t i = 0; i < vocab->n; i++)
        if (strcmp(vocab->symbol[i], name) == 0)
            return i;
    return -1;
}

/* Both sides of any size, none included. */
static void mapping__against_brute_force(void **state)
{
    static const int64_t share[] = {0, 10, 60, 100};

    (void)state;
    for (uint64_t round = 0; round < 32; round++) {
        struct tess_vocab from, to;
        struct tess_mapping mapping, trained;
        uint8_t mark[ALL];

        draw_vocab(tess_random_stream(round, TESS_RANDOM_TEST, 1), share[round % 4], &from);
        draw_vocab(tess_random_stream(round, TESS_RANDOM_TEST, 2), share[round / 4 % 4], &to);
        for (int64_t i = 0; i < ALL; i++)
            mark[i] = i % 3 != 0;
        tess_mapping_init(&mapping, &from, &to, NULL);
        tess_mapping_init(&trained, &from, &to, mark);
        assert_int_equal(mapping.n, from.n);
        for (int64_t i = 0; i < from.n; i++) {
            int64_t there = search(&to, from.symbol[i]);

            assert_int_equal(mapping.to[i], there);
            assert_int_equal(trained.to[i], there >= 0 && mark[there] ? there : -1);
        }
        tess_mapping_release(&mapping);
        tess_mapping_release(&mapping);
        tess_mapping_release(&trained);
        tess_vocab_release(&from);
        tess_vocab_release(&to);
    }
}

static void mapping__names_in_any_order(void **state)
{
    static const char *const symbol[] = {"b", "a", "ab"}, *const name[] = {"ab",  "",  "b", "ab",
                                                                           "abc", "a", "B"};
    static const int64_t there[] = {1, -1, 2, 1, -1, 0, -1};
    struct tess_mapping mapping;
    struct tess_vocab vocab;

    (void)state;
    tess_vocab_init(&vocab, 3, symbol, NULL);
    tess_mapping_init_names(&mapping, 7, name, &vocab);
    assert_memory_equal(mapping.to, there, sizeof there);
    tess_mapping_release(&mapping);
    tess_mapping_init_names(&mapping, 0, name, &vocab);
    assert_int_equal(mapping.n, 0);
    tess_mapping_release(&mapping);
    tess_vocab_release(&vocab);
}

/* Numbers over there may be in another order, above 32 bits, the same for two, or missing. */
static void mapping__translates(void **state)
{
    int64_t to[] = {(int64_t)5 << 33, 7, -1, 2, 7}, out[4];
    struct tess_mapping mapping = {5, to};
    struct tess_sets sets = {0};

    (void)state;
    assert_int_equal(tess_mapping_translate(&mapping, 3, (int64_t[]){0, 1, 3}, out), 3);
    assert_memory_equal(out, ((int64_t[]){2, 7, (int64_t)5 << 33}), 3 * sizeof *out);
    assert_int_equal(tess_mapping_translate(&mapping, 2, (int64_t[]){1, 4}, out), 1);
    assert_int_equal(out[0], 7);
    assert_int_equal(tess_mapping_translate(&mapping, 2, (int64_t[]){1, 2}, out), -1);
    assert_int_equal(tess_mapping_translate(&mapping, 0, to, out), 0);
    assert_int_equal(tess_mapping_add_set(&mapping, 2, (int64_t[]){2, 3}, &sets), 0);
    assert_int_equal(sets.n, 0);
    assert_int_equal(tess_mapping_add_set(&mapping, 2, (int64_t[]){1, 3}, &sets), 1);
    assert_int_equal(tess_mapping_add_set(&mapping, 0, to, &sets), 1);
    assert_memory_equal(sets.first, ((int64_t[]){0, 2, 2}), 3 * sizeof *out);
    assert_memory_equal(sets.member, ((int64_t[]){2, 7}), 2 * sizeof *out);
    tess_sets_release(&sets);
}

/* By all pairs: does every member of one lie in the other, and are they as many? */
static int64_t search_set(const struct tess_sets *sets, const int64_t *to, int64_t n,
                          const int64_t *member)
{
    for (int64_t i = 0; i < sets->n; i++) {
        int64_t found = 0;

        for (int64_t k = 0; k < n; k++)
            for (int64_t j = sets->first[i]; j < sets->first[i + 1]; j++)
                found += sets->member[j] == to[member[k]];
        if (found == n && sets->first[i + 1] - sets->first[i] == n)
            return i;
    }
    return -1;
}

static void draw_sets(struct tess_random stream, int64_t limit, struct tess_sets *sets)
{
    int64_t member[3];

    for (uint64_t i = 0; i < 100; i++) {
        int64_t n = tess_random_below(stream, 4 * i, 4);

        for (int64_t k = 0; k < n; k++)
            member[k] = tess_random_below(stream, 4 * i + 1 + (uint64_t)k, limit);
        tess_sets_number(sets, tess_set_tidy(n, member), member);
    }
}

/* Numbers over there run backwards, one is unknown. */
static void mapping__sets_against_brute_force(void **state)
{
    struct tess_sets from = {0}, to = {0}, none = {0};
    int64_t number[] = {9, 8, 7, 6, -1, 4, 3, 2};
    struct tess_mapping member = {8, number}, collected, sorted, empty;
    int64_t known = 0;

    (void)state;
    draw_sets(tess_random_stream(3, TESS_RANDOM_TEST, 0), 8, &from);
    draw_sets(tess_random_stream(4, TESS_RANDOM_TEST, 0), 10, &to);
    tess_mapping_init_sets(&empty, &from, &member, &none);
    for (int64_t i = 0; i < from.n; i++)
        assert_int_equal(empty.to[i], -1);
    tess_mapping_release(&empty);
    tess_mapping_init_sets(&empty, &none, &member, &to);
    assert_int_equal(empty.n, 0);
    tess_mapping_init_sets(&collected, &from, &member, &to);
    for (int64_t i = 0; i < from.n; i++) {
        int64_t first = from.first[i], n = from.first[i + 1] - first;

        assert_int_equal(collected.to[i], search_set(&to, number, n, from.member + first));
        known += collected.to[i] >= 0;
    }
    assert_true(known > 10 && known < from.n);
    tess_sets_sort(&to, NULL);
    tess_mapping_init_sets(&sorted, &from, &member, &to);
    for (int64_t i = 0; i < from.n; i++)
        assert_int_equal(sorted.to[i], search_set(&to, number, from.first[i + 1] - from.first[i],
                                                  from.member + from.first[i]));
    tess_mapping_release(&empty);
    tess_mapping_release(&collected);
    tess_mapping_release(&sorted);
    tess_sets_release(&from);
    tess_sets_release(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapping__against_brute_force),
        cmocka_unit_test(mapping__names_in_any_order),
        cmocka_unit_test(mapping__translates),
        cmocka_unit_test(mapping__sets_against_brute_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
