/* scaling.c -- tests of values to targets and back. */
#include "tessera/scaling.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define CONTEXTS 3
#define READOUTS 37 /* no whole vectors */

static float shift[CONTEXTS * READOUTS], scale[CONTEXTS * READOUTS];
static int64_t backwards[READOUTS];

static int make(void **state)
{
    (void)state;
    for (int i = 0; i < CONTEXTS * READOUTS; i++) {
        shift[i] = (float)sin(i);
        scale[i] = (float)(0.1 + fabs(cos(i)));
    }
    for (int k = 0; k < READOUTS; k++)
        backwards[k] = READOUTS - 1 - k;
    return 0;
}

static void fill(float *row)
{
    for (int k = 0; k < READOUTS; k++)
        row[k] = k == 5 ? NAN : (float)(3 + 2 * sin(7 * k));
}

static void scaling__is_the_formula_and_its_inverse(void **state)
{
    (void)state;
    for (int way = 0; way < 8; way++) {
        struct tess_scaling scaling = {READOUTS, way & 1 ? shift : NULL, way & 1 ? scale : NULL,
                                       way & 2 ? 2.5f : 0, way & 2 ? 0.03f : 1};
        const int64_t *readout = way & 4 ? backwards : NULL;
        float row[READOUTS], value[READOUTS];

        fill(row);
        fill(value);
        for (int64_t c = 0; c < CONTEXTS; c++) {
            tess_scaling_apply(&scaling, c, READOUTS, readout, row);
            for (int k = 0; k < READOUTS; k++) {
                int64_t at = c * READOUTS + (readout ? readout[k] : k);
                double target = (double)value[k];

                if (way & 1)
                    target = (target - (double)shift[at]) / (double)scale[at];
                target = (target - (double)scaling.center) / (double)scaling.spread;
                assert_true(isnan(row[k]) == isnan(value[k]));
                assert_true(isnan(row[k]) ||
                            fabs((double)row[k] - target) < 1e-5 * fabs(target) + 2e-4);
            }
            tess_scaling_undo(&scaling, c, READOUTS, readout, row);
            for (int k = 0; k < READOUTS; k++)
                assert_true(isnan(row[k]) || fabsf(row[k] - value[k]) < 1e-5f);
        }
    }
}

/* Off is off to the bit, and the order of the readouts is nothing to a value. */
static void scaling__keeps_bits(void **state)
{
    const struct tess_scaling none = TESS_SCALING_NONE;
    const struct tess_scaling both = {READOUTS, shift, scale, 2.5f, 0.03f};
    float row[READOUTS], value[READOUTS], turned[READOUTS];

    (void)state;
    fill(row);
    fill(value);
    tess_scaling_apply(&none, 2, READOUTS, NULL, row);
    tess_scaling_undo(&none, 2, READOUTS, backwards, row);
    assert_memory_equal(row, value, sizeof row);
    for (int k = 0; k < READOUTS; k++)
        turned[k] = value[READOUTS - 1 - k];
    for (int way = 0; way < 2; way++) {
        (way ? tess_scaling_apply : tess_scaling_undo)(&both, 1, READOUTS, NULL, row);
        (way ? tess_scaling_apply : tess_scaling_undo)(&both, 1, READOUTS, backwards, turned);
        for (int k = 0; k < READOUTS; k++)
            assert_memory_equal(&row[k], &turned[READOUTS - 1 - k], sizeof *row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scaling__is_the_formula_and_its_inverse),
        cmocka_unit_test(scaling__keeps_bits),
    };

    return cmocka_run_group_tests(tests, make, NULL);
}
