/* sets.c -- sets of numbers against brute force: making, ordering, collecting, finding. */
#include "tessera/alloc.h"
#include "tessera/random.h"
#include "tessera/sets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 4 /* numbers in a set */
static const int64_t big = (int64_t)3 << 40;

/* A random set, of few numbers so that repeats are common, and of none now and then. */
static int64_t draw(struct tess_random stream, uint64_t at, int64_t *member)
{
    int64_t n = tess_random_below(stream, 16 * at, MOST + 1);

    for (int64_t k = 0; k < n; k++) {
        int64_t x = tess_random_below(stream, 16 * at + 1 + (uint64_t)k, 5);

        member[k] = x == 4 ? big : x; /* one that 32 bits do not hold */
    }
    return tess_set_tidy(n, member);
}

static int same(const struct tess_sets *sets, int64_t i, int64_t n, const int64_t *member)
{
    return sets->first[i + 1] - sets->first[i] == n &&
           memcmp(sets->member + sets->first[i], member, (size_t)n * sizeof *member) == 0;
}

/* By looking at all. */
static int64_t search(const struct tess_sets *sets, int64_t n, const int64_t *member)
{
    for (int64_t i = 0; i < sets->n; i++)
        if (same(sets, i, n, member))
            return i;
    return -1;
}

static void set__tidy_and_place(void **state)
{
    int64_t member[] = {7, big, -2, 7, 0, big, -2}, none[1] = {0};

    (void)state;
    assert_int_equal(tess_set_tidy(7, member), 4);
    assert_memory_equal(member, ((int64_t[]){-2, 0, 7, big}), 4 * sizeof *member);
    assert_int_equal(tess_set_place(4, member, -2), 0);
    assert_int_equal(tess_set_place(4, member, big), 3);
    assert_int_equal(tess_set_place(4, member, big + 1), -1);
    assert_int_equal(tess_set_place(4, member, 1), -1);
    assert_int_equal(tess_set_tidy(0, none), 0);
    assert_int_equal(tess_set_place(0, none, 0), -1);
}

static void set__order(void **state)
{
    const int64_t a[] = {1, 5}, b[] = {1, big}, c[] = {2};

    (void)state;
    assert_int_equal(tess_set_compare(2, a, 2, a), 0);
    assert_int_equal(tess_set_compare(0, a, 0, b), 0);
    assert_true(tess_set_compare(1, a, 2, a) < 0 && tess_set_compare(2, a, 1, a) > 0);
    assert_true(tess_set_compare(2, a, 2, b) < 0 && tess_set_compare(1, c, 2, b) > 0);
    assert_true(tess_set_compare(0, a, 1, a) < 0);
}

/* Collected in any order and sorted: every set is found, and no other. */
static void sets__against_brute_force(void **state)
{
    struct tess_random stream = tess_random_stream(11, TESS_RANDOM_TEST, 0);
    struct tess_sets all = {0}, collected = {0}, sorted = {0};
    int64_t member[MOST], n, number[300], place[300];

    (void)state;
    for (int64_t i = 0; i < 300; i++) {
        n = draw(stream, (uint64_t)i, member);
        tess_sets_add(&all, n, member);
        tess_sets_add(&sorted, n, member);
        number[i] = tess_sets_number(&collected, n, member);
        assert_int_equal(number[i], search(&collected, n, member));
    }
    assert_true(collected.n < 300);
    tess_sets_sort(&sorted, place);
    assert_int_equal(sorted.n, collected.n);
    for (int64_t i = 1; i < sorted.n; i++)
        assert_true(tess_set_compare(sorted.first[i] - sorted.first[i - 1],
                                     sorted.member + sorted.first[i - 1],
                                     sorted.first[i + 1] - sorted.first[i],
                                     sorted.member + sorted.first[i]) < 0);
    for (int64_t i = 0; i < 300; i++) {
        n = all.first[i + 1] - all.first[i];
        assert_true(same(&sorted, place[i], n, all.member + all.first[i]));
        assert_true(same(&collected, number[i], n, all.member + all.first[i]));
    }
    for (int64_t i = 0; i < 3000; i++) { /* most of them are strangers */
        n = draw(stream, (uint64_t)(300 + i), member);
        if (n > 0 && i % 2)
            member[n - 1] += 1;
        assert_int_equal(tess_sets_find(&sorted, n, member), search(&sorted, n, member));
        assert_int_equal(tess_sets_find(&collected, n, member), search(&collected, n, member));
    }
    tess_sets_release(&all);
    tess_sets_release(&collected);
    tess_sets_release(&sorted);
    tess_sets_release(&sorted);
}

static void sets__none(void **state)
{
    struct tess_sets sets = {0};

    (void)state;
    assert_int_equal(tess_sets_find(&sets, 1, &big), -1);
    tess_sets_sort(&sets, NULL);
    assert_int_equal(sets.n, 0);
    assert_int_equal(sets.first[0], 0);
    assert_int_equal(tess_sets_find(&sets, 1, &big), -1);
    tess_sets_release(&sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set__tidy_and_place),
        cmocka_unit_test(set__order),
        cmocka_unit_test(sets__against_brute_force),
        cmocka_unit_test(sets__none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
