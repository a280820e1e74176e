/* dose.c -- tests of src/doses: units, spelling, names. */
#include "tessera/alloc.h"
#include "tessera/dose.h"
#include "tessera/vocab.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* The one spelling of an amount, and maybe a time. */
static void assert_spelled(const char *amount, const char *time, const char *wanted)
{
    struct tess_dose dose = {.hours = 0}, again;
    char *name, *twice;

    if (!tess_dose_amount(amount, NULL, &dose))
        fail_msg("'%s' is not read", amount);
    if (time && !tess_dose_hours(time, NULL, &dose.hours))
        fail_msg("'%s' is not read", time);
    name = tess_dose_name("drug-A", 6, &dose);
    assert_string_equal(name, wanted);
    assert_true(tess_dose_read(name, &again));
    assert_int_equal(again.length, 6);
    assert_int_equal(again.kind, dose.kind);
    assert_true(fabs(again.amount / dose.amount - 1) < 1e-8);
    twice = tess_dose_name(name, again.length, &again);
    assert_string_equal(twice, wanted);
    tess_free(name);
    tess_free(twice);
}

static void dose__has_one_spelling(void **state)
{
    (void)state;
    assert_spelled("1000 nM", NULL, "drug-A@1uM");
    assert_spelled("1uM", NULL, "drug-A@1uM");
    assert_spelled("0.001mM", NULL, "drug-A@1uM");
    assert_spelled("1e-6 M", NULL, "drug-A@1uM");
    assert_spelled("1 \xC2\xB5M", NULL, "drug-A@1uM");
    assert_spelled("1 \xCE\xBCM", NULL, "drug-A@1uM");
    assert_spelled(" 0.25 uM ", NULL, "drug-A@250nM");
    assert_spelled("3.3uM", "24 h", "drug-A@3.3uM@24h");
    assert_spelled("3300nM", "1d", "drug-A@3.3uM@24h");
    assert_spelled("0.3uM", "90 min", "drug-A@300nM@1.5h");
    assert_spelled("2 M", "60s", "drug-A@2M@1min");
    assert_spelled("5000 M", "10s", "drug-A@5000M@10s");
    assert_spelled("0.5fM", NULL, "drug-A@0.5fM");
    assert_spelled("999.9999999999 nM", NULL, "drug-A@1uM");
    assert_spelled("10 ug/mL", "6 days", "drug-A@10ug/mL@144h");
    assert_spelled("0.01 mg/ml", NULL, "drug-A@10ug/mL");
    assert_spelled("5", NULL, "drug-A@5");
    assert_spelled("0.333333333333", NULL, "drug-A@0.333333333");
}

static void dose__refuses_what_is_none(void **state)
{
    static const char *const none[] = {"",    "uM",     "10 foo", "Low",     "0x1uM",
                                       "nan", "inf uM", "1e999",  "10 uM x", "10 h"};
    static const char *const symbol[] = {"drug",      "drug@",    "@1uM",        "drug@0uM",
                                         "drug@-1uM", "drug@24h", "drug@1uM@0h", "drug@x@24h"};
    struct tess_dose dose;
    double hours;

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (tess_dose_amount(none[i], NULL, &dose))
            fail_msg("'%s' is read as a dose", none[i]);
    for (size_t i = 0; i < sizeof symbol / sizeof *symbol; i++)
        if (tess_dose_read(symbol[i], &dose))
            fail_msg("'%s' is read as a symbol with a dose", symbol[i]);
    assert_false(tess_dose_hours("24", NULL, &hours));
    assert_false(tess_dose_hours("24 uM", NULL, &hours));
    assert_true(tess_dose_hours("24", "h", &hours));
    assert_true(tess_dose_amount("-1", "uM", &dose));
    assert_true(dose.amount < 0);
    assert_false(tess_dose_amount("1", "h", &dose));
}

/* A plus stands between the components of combinations. */
static void dose__is_spelled_without_plus(void **state)
{
    const struct tess_dose dose[] = {{4, TESS_DOSE_LEVEL, 2e9, 0},
                                     {4, TESS_DOSE_MOLAR, 5e12, 24},
                                     {4, TESS_DOSE_MASS, 3e10, 0},
                                     {4, TESS_DOSE_LEVEL, 2e-9, 0}};
    const char *const wanted[] = {"drug@2e09", "drug@5e12M@24h", "drug@3e10g/mL", "drug@2e-09"};

    (void)state;
    for (size_t i = 0; i < sizeof dose / sizeof *dose; i++) {
        char *name = tess_dose_name("drug", 4, &dose[i]);
        struct tess_dose again;

        assert_string_equal(name, wanted[i]);
        assert_true(tess_dose_read(name, &again));
        assert_true(again.amount == dose[i].amount && again.hours == dose[i].hours);
        tess_free(name);
    }
}

static void dose__has_a_time_or_none(void **state)
{
    const char *const symbol[] = {"a@1uM", "a@1uM@6h", "a@x@1uM@6h", "b@1uM@24h", "b@x"};
    struct tess_vocab vocab;

    (void)state;
    tess_vocab_init(&vocab, 5, symbol, NULL);
    assert_true(tess_dose_has_timeless(&vocab, "a", 1));
    assert_false(tess_dose_has_timeless(&vocab, "a@x", 3));
    assert_false(tess_dose_has_timeless(&vocab, "b", 1));
    assert_false(tess_dose_has_timeless(&vocab, "c", 1));
    tess_vocab_release(&vocab);
}

static void dose__lies_from_the_middle_of_its_drug(void **state)
{
    const char *const symbol[] = {"a",      "a@1uM", "a@100uM", "a@x@10uM",
                                  "ab@1mM", "b@1",   "b@1nM",   "control"};
    struct tess_vocab vocab;
    double middle;
    int kind;

    (void)state;
    tess_vocab_init(&vocab, 8, symbol, NULL);
    assert_int_equal(tess_dose_middle(&vocab, "a", 1, &middle, &kind), -1);
    assert_int_equal(kind, TESS_DOSE_MOLAR);
    assert_true(fabs(middle + 5) < 1e-12);
    assert_int_equal(tess_dose_middle(&vocab, "a@x", 3, &middle, &kind), -1);
    assert_true(fabs(middle + 5) < 1e-12);
    assert_true(tess_dose_middle(&vocab, "b", 1, &middle, &kind) >= 0); /* two kinds */
    assert_int_equal(tess_dose_middle(&vocab, "c", 1, &middle, &kind), -1);
    assert_int_equal(kind, -1);
    tess_vocab_release(&vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dose__has_one_spelling),
        cmocka_unit_test(dose__refuses_what_is_none),
        cmocka_unit_test(dose__is_spelled_without_plus),
        cmocka_unit_test(dose__has_a_time_or_none),
        cmocka_unit_test(dose__lies_from_the_middle_of_its_drug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
