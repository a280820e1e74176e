/* state_rules.c -- what the numbers of a checkpoint must be, alone and beside each other. */
#include "state_rules.h"

#include <math.h>
#include <string.h>

static int is_anything(const struct tess_state *state, double x)
{
    (void)state;
    (void)x;
    return 1;
}

static int is_not_infinite(const struct tess_state *state, double x)
{
    (void)state;
    return !isinf(x);
}

static int is_finite(const struct tess_state *state, double x)
{
    (void)state;
    return isfinite(x);
}

static int is_number(const struct tess_state *state, double x)
{
    (void)state;
    return !isnan(x);
}

static int is_not_negative(const struct tess_state *state, double x)
{
    (void)state;
    return x >= 0;
}

static int is_finite_and_not_negative(const struct tess_state *state, double x)
{
    (void)state;
    return isfinite(x) && x >= 0;
}

static int is_finite_and_positive(const struct tess_state *state, double x)
{
    (void)state;
    return isfinite(x) && x > 0;
}

static int is_flag(const struct tess_state *state, double x)
{
    (void)state;
    return x == TESS_UNTRAINED || x == TESS_TRAINED || x == TESS_BY_PARTS || x == TESS_TRAINED_NEW;
}

static int is_step_done(const struct tess_state *state, double x)
{
    return x >= 0 && x <= (double)state->optimizer.step;
}

/* `epoch` is counted up after the checkpoint of its best score is written: one more is right. */
static int is_best_epoch(const struct tess_state *state, double x)
{
    return x >= 0 && x <= (double)state->progress.epoch + 1;
}

static int is_best_score(const struct tess_state *state, double x)
{
    return state->progress.best_epoch <= 0 || (isfinite(x) && x >= 0);
}

static int is_text(const struct tess_state *state, double length)
{
    (void)state;
    return length > 0;
}

/* Settings were checked one by one when they were read: this is left. */
static int is_possible(const struct tess_state *state, double x)
{
    (void)x;
    return state->shape.dim >= 1;
}

/* By the bits and without a branch, which compilers turn into vector instructions. */
int tess_state_finite(const float *x, int64_t n)
{
    const uint32_t exponent = 0x7f800000u; /* all ones: infinite or NaN */
    uint32_t bad = 0;

    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    return !bad;
}

static int all_numbers(const float *x, int64_t n)
{
    int bad = 0;

    for (int64_t i = 0; i < n; i++)
        bad |= isnan(x[i]);
    return !bad;
}

static int all_not_negative(const float *x, int64_t n)
{
    int bad = 0;

    for (int64_t i = 0; i < n; i++)
        /* not x < 0: NaN must fail, too */
        bad |= !(x[i] >= 0);
    return !bad;
}

/* Sentences that several rules share are said once where they stand side by side. */
#define MOMENT "has moments that cannot be"
#define PLACE  "the place in the epoch is impossible"
#define BEST   "the best epoch is impossible"
#define LOSS   "the loss of the epoch is impossible"
#define RANGE  "is out of range"
#define SCALE  "the scaling of the targets is impossible"

const struct tess_state_rule tess_rule_any = {is_anything, NULL, "", ""};
const struct tess_state_rule tess_rule_trait = {is_not_infinite, NULL, "finite, or NaN: nothing",
                                                "is infinite"};
const struct tess_state_rule tess_rule_finite = {is_finite, tess_state_finite, "finite",
                                                 "is not finite"};
const struct tess_state_rule tess_rule_shift = {is_finite, tess_state_finite, "finite", RANGE};
const struct tess_state_rule tess_rule_scale = {is_finite_and_positive, NULL, "finite, above 0",
                                                RANGE};
const struct tess_state_rule tess_rule_center = {is_finite, NULL, "finite", SCALE};
const struct tess_state_rule tess_rule_spread = {is_finite_and_positive, NULL, "finite, above 0",
                                                 SCALE};
const struct tess_state_rule tess_rule_first_moment = {is_number, all_numbers, "not NaN", MOMENT};
const struct tess_state_rule tess_rule_second_moment = {is_not_negative, all_not_negative,
                                                        "at least 0", MOMENT};
const struct tess_state_rule tess_rule_flag = {is_flag, NULL, "0 to 3", "is no flag: trained"};
const struct tess_state_rule tess_rule_rate = {is_finite_and_not_negative, NULL,
                                               "finite, at least 0", "is no learning rate"};
const struct tess_state_rule tess_rule_last = {is_step_done, NULL, "from 0 to `step`",
                                               "is no step that was done"};
const struct tess_state_rule tess_rule_core = {is_text, NULL, "not empty",
                                               "its settings are impossible"};
const struct tess_state_rule tess_rule_settings = {is_possible, NULL, "within their ranges",
                                                   "its settings are impossible"};
const struct tess_state_rule tess_rule_step = {is_not_negative, NULL, "at least 0",
                                               "the step is impossible"};
const struct tess_state_rule tess_rule_epoch = {is_not_negative, NULL, "at least 0", PLACE};
const struct tess_state_rule tess_rule_step_in_epoch = {is_step_done, NULL, "from 0 to `step`",
                                                        PLACE};
const struct tess_state_rule tess_rule_best_epoch = {is_best_epoch, NULL, "from 0 to `epoch` + 1",
                                                     BEST};
const struct tess_state_rule tess_rule_best_step = {is_step_done, NULL, "from 0 to `step`", BEST};
const struct tess_state_rule tess_rule_best_score = {is_best_score, NULL,
                                                     "finite, at least 0, if `best_epoch` is not 0",
                                                     "the best score is impossible"};
const struct tess_state_rule tess_rule_loss = {is_finite_and_not_negative, NULL,
                                               "finite, at least 0", LOSS};
const struct tess_state_rule tess_rule_measured = {is_not_negative, NULL, "at least 0", LOSS};
