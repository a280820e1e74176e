/* composition.c -- contexts of parts: names to rows and weights, who is known, vectors and their
 * gradients. */
#include "tessera/composition.h"
#include "tessera/config.h"
#include "tessera/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define D 3

static const char *const contexts[] = {"A549_24h", "A549_6h", "HepG2_24h", "HepG2_6h"};

static void make(struct tess_composition *composition, int on)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_config config;
    struct tess_vocab symbols;

    tess_config_init(&config);
    config.model.context_parts = on;
    tess_vocab_init(&symbols, 4, contexts, NULL);
    assert_int_equal(
        tess_composition_init(composition, TESS_TABLE_C, &config, &symbols, "test", &error),
        TESS_OK);
    tess_vocab_release(&symbols);
}

static void composition__parts(void **state)
{
    static const char *const names[] = {"1:A549", "1:HepG2", "2:24h", "2:6h"};
    static const int64_t rows[] = {0, 4, 6, 1, 4, 7, 2, 5, 6, 3, 5, 7};
    struct tess_composition composition;

    (void)state;
    make(&composition, 1);
    assert_int_equal(composition.n_rows, 8);
    assert_int_equal(composition.part.n, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(composition.part.symbol[i], names[i]);
    assert_int_equal(composition.first[4], 12);
    assert_memory_equal(composition.row, rows, sizeof rows);
    for (int r = 0; r < 4; r++)
        assert_true(composition.start[r] == 0);
    tess_composition_release(&composition);
    make(&composition, 0);
    assert_null(composition.first);
    assert_int_equal(composition.n_rows, 4);
    tess_composition_release(&composition);
}

static void refuse(int64_t n, const char *const *name, const char *words)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_composition composition;
    struct tess_config config;
    struct tess_vocab symbols;

    tess_config_init(&config);
    config.model.context_parts = 1;
    tess_vocab_init(&symbols, n, name, NULL);
    assert_int_equal(
        tess_composition_init(&composition, TESS_TABLE_C, &config, &symbols, "test", &error),
        TESS_EDATA);
    assert_non_null(strstr(error.text, words));
    tess_composition_release(&composition);
    tess_vocab_release(&symbols);
}

static void composition__names_that_have_no_parts(void **state)
{
    (void)state;
    refuse(2, (const char *const[]){"A549_24h", "MCF_7_24h"}, "'MCF_7_24h' has 3");
    refuse(2, (const char *const[]){"A549", "MCF7"}, "not made of parts");
}

static void composition__known_by_parts(void **state)
{
    uint8_t trained[] = {1, 0, 0, 1}, all_parts[] = {1, 1, 0, 0};
    struct tess_composition composition;

    (void)state;
    make(&composition, 1);
    tess_composition_known(&composition, trained);
    assert_memory_equal(trained, ((uint8_t[]){1, TESS_BY_PARTS, TESS_BY_PARTS, 1}), 4);
    tess_composition_known(&composition, all_parts); /* no HepG2 anywhere */
    assert_memory_equal(all_parts, ((uint8_t[]){1, 1, 0, 0}), 4);
    tess_composition_release(&composition);
}

/* Sums, and that the way back is the transpose of the way there: <forward(x), g> = <x, back(g)>. */
static void composition__vectors_and_gradients(void **state)
{
    const struct tess_encoder encoder = {D, TESS_COMBINE_MEAN};
    struct tess_composition composition;
    struct tess_mix mix = {.n = 0};
    struct tess_perturbations made;
    float row[8 * D], vector[4 * D], again[2 * D], g[2 * D], back[8 * D];
    double there = 0, here = 0;

    (void)state;
    make(&composition, 1);
    for (int i = 0; i < 8 * D; i++)
        row[i] = (float)(i * i % 11) - 4;
    tess_composition_vectors(&composition, D, row, vector);
    for (int d = 0; d < D; d++) /* A549_6h */
        assert_float_equal(vector[D + d],
                           composition.weight[3] * row[D + d] + row[4 * D + d] + row[7 * D + d],
                           1e-5);
    tess_mix_add(&mix, &composition, &encoder, 2, (const int64_t[]){0, 3});
    tess_mix_add(&mix, &composition, &encoder, 1, (const int64_t[]){2});
    made = tess_mix_of(&mix);
    tess_encoder_forward(&encoder, &made, row, again);
    for (int d = 0; d < D; d++) {
        assert_float_equal(again[d], 0.5f * (vector[d] + vector[3 * D + d]), 1e-5);
        assert_float_equal(again[D + d], vector[2 * D + d], 1e-5);
    }
    for (int i = 0; i < 2 * D; i++)
        g[i] = (float)(i - 2);
    tess_encoder_backward(&encoder, &made, row, g, 8, back);
    for (int i = 0; i < 2 * D; i++)
        there += (double)again[i] * g[i];
    for (int i = 0; i < 8 * D; i++)
        here += (double)row[i] * back[i];
    assert_float_equal(there, here, 1e-4);
    tess_mix_release(&mix);
    tess_composition_release(&composition);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(composition__parts),
                                       cmocka_unit_test(composition__names_that_have_no_parts),
                                       cmocka_unit_test(composition__known_by_parts),
                                       cmocka_unit_test(composition__vectors_and_gradients)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
