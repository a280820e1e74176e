/* metrics.c -- scores of hand-made experiments, resampling, ceilings. */
#include "tessera/alloc.h"
#include "tessera/bootstrap.h"
#include "tessera/ceiling.h"
#include "tessera/metrics.h"
#include "tessera/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-12)

static double value(const struct tess_scores *scores, int reference, int measure)
{
    return scores->value[tess_metric_change(TESS_PANEL_ALL, reference, measure)];
}

static void metrics__names_are_distinct(void **state)
{
    (void)state;
    for (int i = 0; i < TESS_METRICS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(tess_metric_name(i), tess_metric_name(j));
    assert_string_equal(
        tess_metric_name(tess_metric_change(TESS_PANEL_TOP50, TESS_BY_MEAN, TESS_M_MAE)),
        "mae_delta_ctxmean_top50");
    assert_string_equal(tess_metric_name(TESS_DIRECTION + 3), "direction_match_at_200");
    assert_string_equal(tess_metric_name(TESS_CENTROID), "centroid_accuracy");
    assert_true(tess_metric_is_error(TESS_RMSE) && !tess_metric_is_error(TESS_R2));
    assert_true(tess_metric_is_error(tess_metric_change(1, 0, TESS_M_MSE)));
    assert_false(tess_metric_is_error(tess_metric_change(2, 1, TESS_M_COSINE)));
    assert_true(tess_metric_is_error(TESS_WEIGHTED) && tess_metric_is_error(TESS_WEIGHTED + 1));
    assert_false(tess_metric_is_error(TESS_DISCRIMINATION));
    for (int i = 0; i < TESS_REASONS; i++)
        assert_non_null(tess_reason_text(i));
}

static void metrics__ranks_average_ties(void **state)
{
    const double x[] = {3, 1, 3, 2, 3}, want[] = {4, 1, 4, 2, 4};
    double rank[5];

    (void)state;
    tess_ranks(5, x, rank);
    for (int i = 0; i < 5; i++)
        NEAR(rank[i], want[i]);
}

static void metrics__correlation(void **state)
{
    const double x[] = {1, 2, 3, 4}, y[] = {2, 4, 6, 8.5}, level[] = {0.1, 0.1, 0.1, 0.1};

    (void)state;
    NEAR(tess_correlation(3, x, y), 1);
    assert_true(tess_correlation(4, x, y) < 1);
    assert_true(isnan(tess_correlation(4, x, level)));
    assert_true(isnan(tess_correlation(2, x, y)));
}

static void metrics__of_a_change(void **state)
{
    const float measured[] = {1, NAN, 3, 2};
    const double control[] = {0, 0, 1, NAN}, mean[] = {1, 1, 1, 1}, predicted[] = {2, 9, 2, 4};
    struct tess_measured truth;
    struct tess_scores scores;

    (void)state;
    tess_measured_init(&truth, 4, measured, control, mean);
    assert_int_equal(truth.n, 3);
    assert_int_equal(truth.by[TESS_BY_CONTROL].n, 2);
    tess_measured_score(&truth, predicted, 0, &scores);
    NEAR(scores.pool.n, 3);
    NEAR(scores.pool.e2, 1 + 1 + 4);
    /* against control: measured (1, 2), predicted (2, 1) */
    NEAR(value(&scores, TESS_BY_CONTROL, TESS_M_MSE), 1);
    assert_true(isnan(value(&scores, TESS_BY_CONTROL, TESS_M_PEARSON)));
    assert_int_equal(scores.reason[tess_metric_change(0, TESS_BY_CONTROL, TESS_M_PEARSON)],
                     TESS_FEW_READOUTS);
    /* against the mean: measured (0, 2, 1), predicted (1, 1, 3) */
    NEAR(value(&scores, TESS_BY_MEAN, TESS_M_MSE), 2);
    NEAR(value(&scores, TESS_BY_MEAN, TESS_M_MAE), 4.0 / 3);
    NEAR(value(&scores, TESS_BY_MEAN, TESS_M_COSINE), 5 / sqrt(5.0 * 11));
    NEAR(value(&scores, TESS_BY_MEAN, TESS_M_PEARSON), 0);
    NEAR(value(&scores, TESS_BY_MEAN, TESS_M_SPEARMAN), 0);
    assert_int_equal(scores.reason[TESS_OVERLAP], TESS_SMALL_PANEL);
    /* weights (0, 4, 1) / 5 of the squared errors (1, 1, 4); too few against control */
    NEAR(scores.value[TESS_WEIGHTED + TESS_BY_MEAN], 8.0 / 5);
    assert_int_equal(scores.reason[TESS_WEIGHTED + TESS_BY_CONTROL], TESS_FEW_READOUTS);
    tess_measured_release(&truth);
}

static void metrics__undefined_has_a_reason(void **state)
{
    const float measured[] = {1, 2, 3};
    const double level[] = {1, 1, 1}, predicted[] = {1, 1, 1};
    struct tess_measured truth;
    struct tess_scores scores;

    (void)state;
    tess_measured_init(&truth, 3, measured, NULL, level);
    tess_measured_score(&truth, predicted, 0, &scores);
    assert_int_equal(scores.reason[TESS_CHANGE], TESS_NO_CONTROL);
    assert_true(isnan(scores.value[TESS_CHANGE]));
    assert_int_equal(scores.reason[tess_metric_change(0, TESS_BY_MEAN, TESS_M_PEARSON)],
                     TESS_CONSTANT);
    assert_int_equal(scores.reason[tess_metric_change(0, TESS_BY_MEAN, TESS_M_COSINE)],
                     TESS_CONSTANT);
    assert_int_equal(scores.reason[tess_metric_change(1, TESS_BY_MEAN, 0)], TESS_SMALL_PANEL);
    assert_int_equal(scores.reason[TESS_WEIGHTED], TESS_NO_CONTROL);
    for (int k = TESS_CHANGE; k < TESS_DISCRIMINATION; k++)
        assert_int_equal(isnan(scores.value[k]), scores.reason[k] != TESS_DEFINED);
    tess_measured_release(&truth);
}

static void metrics__top_and_overlap(void **state)
{
    float measured[21];
    double zero[21] = {0}, predicted[21];
    struct tess_measured truth;
    struct tess_scores scores;

    (void)state; /* the 20 largest are 1 … 20; the prediction puts 0 among them and 1 last */
    for (int i = 0; i < 21; i++) {
        measured[i] = (float)(i % 2 ? i + 1 : -i - 1);
        predicted[i] = (double)measured[i];
    }
    predicted[0] = 50;
    predicted[1] = -0.5;
    tess_measured_init(&truth, 21, measured, zero, NULL);
    tess_measured_score(&truth, predicted, 0, &scores);
    NEAR(scores.value[TESS_OVERLAP], 19.0 / 20);
    NEAR(scores.value[TESS_DIRECTION], 19.0 / 20);
    NEAR(scores.value[tess_metric_change(TESS_PANEL_TOP20, TESS_BY_CONTROL, TESS_M_MSE)],
         2.5 * 2.5 / 20);
    assert_int_equal(scores.reason[TESS_OVERLAP + 1], TESS_SMALL_PANEL);
    /* no order at all: what chance gives */
    for (int i = 0; i < 21; i++)
        predicted[i] = 1;
    tess_measured_score(&truth, predicted, 0, &scores);
    NEAR(scores.value[TESS_OVERLAP], 20.0 / 21);
    NEAR(scores.value[TESS_DIRECTION], 10.0 / 20);
    tess_measured_release(&truth);
}

/* Squared errors 1, 4 (the target's 100 is left out, and the readout without noise) and changes 4,
 * 9, less the noise of both. */
static void metrics__noise_is_taken_out(void **state)
{
    const float measured[] = {2, 3, 10, 7};
    const double control[] = {0, 0, 0, 0}, predicted[] = {1, 5, 0, 0};
    const double own[] = {0.5, 1, 1, NAN}, of_control[] = {0.25, NAN, 1, 1};
    const uint8_t target[] = {0, 0, 1, 0};
    struct tess_noise noise = {own, of_control, target};
    struct tess_measured truth;
    struct tess_scores scores;
    int reason;

    (void)state;
    tess_measured_init(&truth, 4, measured, control, NULL);
    tess_measured_score(&truth, predicted, 0, &scores);
    assert_true(isnan(tess_pool_score(&scores.pool, TESS_MSE_RATIO, &reason)));
    assert_int_equal(reason, TESS_NO_NOISE);
    truth.noise = &noise;
    tess_measured_score(&truth, predicted, 0, &scores);
    NEAR(scores.pool.error, (0.5 + 3) / 2);
    NEAR(scores.pool.effect, (3.25 + 8) / 2);
    NEAR(tess_pool_score(&scores.pool, TESS_MSE_RATIO, &reason), 3.5 / 11.25);
    scores.pool.effect = -1;
    assert_true(isnan(tess_pool_score(&scores.pool, TESS_MSE_RATIO, &reason)));
    assert_int_equal(reason, TESS_NO_EFFECT);
    tess_measured_release(&truth);
}

/* Of n equal replicates the variance of their mean: sums of squares / n (n - 1). */
static void ceiling__jackknife(void **state)
{
    float value[] = {1, 2, NAN, /**/ 3, NAN, NAN, /**/ 5, NAN, NAN};
    int64_t replicates[] = {1, 1, 1};
    struct tess_folds folds = {3, 3, value, replicates};
    double noise[3];

    (void)state;
    tess_folds_noise(&folds, noise);
    NEAR(noise[0], (4 + 0 + 4) / 6.0);
    assert_true(isnan(noise[1]) && isnan(noise[2]));
    replicates[2] = 2; /* the mean is 3.5 */
    tess_folds_noise(&folds, noise);
    NEAR(noise[0], (6.25 / 3 + 0.25 / 3 + 2.25 * 2 / 2) / 3);
}

static void metrics__pool(void **state)
{
    /* y 1 2 3, p 2 1 3 */
    struct tess_pool pool = {
        .n = 3, .e2 = 2, .abs_e = 2, .y = 6, .y2 = 14, .p = 6, .p2 = 14, .py = 13};
    int reason;

    (void)state;
    NEAR(tess_pool_score(&pool, TESS_RMSE, &reason), sqrt(2.0 / 3));
    NEAR(tess_pool_score(&pool, TESS_R2, &reason), 0);
    NEAR(tess_pool_score(&pool, TESS_PEARSON, &reason), 0.5);
    pool = (struct tess_pool){.n = 2, .e2 = 1};
    assert_true(isnan(tess_pool_score(&pool, TESS_PEARSON, &reason)));
    assert_int_equal(reason, TESS_FEW_READOUTS);
    pool = (struct tess_pool){.n = 3, .e2 = 1, .y = 3, .y2 = 3};
    assert_true(isnan(tess_pool_score(&pool, TESS_R2, &reason)));
    assert_int_equal(reason, TESS_CONSTANT);
    pool = (struct tess_pool){0};
    assert_true(isnan(tess_pool_score(&pool, TESS_RMSE, &reason)));
    assert_int_equal(reason, TESS_NO_EXPERIMENTS);
}

static void candidates__ranked_with_ties(void **state)
{
    const float measured[] = {0, 0, 0, 0, /**/ 1, 1, 1, 1, /**/ 1, 1, 1, 1, /**/ 5, 5, 5, NAN};
    const double predicted[] = {1, 1, 1, 0}, zero[4] = {0};
    const uint8_t target[] = {0, 0, 0, 1};
    struct tess_candidates candidates = {4, 4, 1, measured, target, zero, NULL, NULL};
    struct tess_scores scores = {0};

    (void)state; /* own at distance 0, one as near, two farther; the target is left out */
    tess_candidates_score(&candidates, predicted, &scores);
    NEAR(scores.value[TESS_DISCRIMINATION], 1 - 0.5 / 3);
    NEAR(scores.value[TESS_DISCRIMINATION + 1], 1 - 0.5 / 3);
    /* cosine: own 0, the tie 0, all-five 0, the zero profile 1 */
    NEAR(scores.value[TESS_DISCRIMINATION + 2], 1 - 1.0 / 3);
    /* all readouts: own 1/4, tie 1/4, zero 3/4, five 16 */
    NEAR(scores.value[TESS_CENTROID], 2.0 / 3);
    candidates.n = 1;
    candidates.own = 0;
    tess_candidates_score(&candidates, predicted, &scores);
    for (int k = TESS_DISCRIMINATION; k <= TESS_CENTROID; k++) {
        assert_true(isnan(scores.value[k]));
        assert_int_equal(scores.reason[k], TESS_ONE_EXPERIMENT);
    }
}

static void candidates__need_three_readouts(void **state)
{
    const float measured[] = {0, 0, 1, 1};
    const double predicted[] = {1, 1};
    struct tess_candidates candidates = {2, 2, 1, measured, NULL, NULL, NULL, NULL};
    struct tess_scores scores = {0};

    (void)state;
    tess_candidates_score(&candidates, predicted, &scores);
    for (int k = TESS_DISCRIMINATION; k <= TESS_CENTROID; k++)
        assert_int_equal(scores.reason[k], TESS_FEW_READOUTS);
}

static void candidates__what_is_not_predicted(void **state)
{
    const float measured[] = {0, 1, 2, 3, 4, /**/ 9, 1, 2, 3, 5, /**/ 0, 7, 7, 7, 7};
    const double predicted[] = {NAN, 1, 2, 3, 4};
    const uint8_t silent[] = {1, 0, 0, 0, 0};
    struct tess_candidates candidates = {3, 5, 0, measured, NULL, NULL, silent, NULL};
    struct tess_scores scores = {0};

    (void)state; /* all candidates are compared, over the four readouts that are predicted */
    tess_candidates_score(&candidates, predicted, &scores);
    NEAR(scores.value[TESS_DISCRIMINATION], 1);
    NEAR(scores.value[TESS_CENTROID], 1);
}

/* The own one differs in another's target alone, which counts for the usual score. */
static void candidates__without_any_targets(void **state)
{
    enum { WIDTH = 11, PLAIN = WIDTH - 2 }; /* more than a vector's lanes */
    float measured[3][WIDTH] = {{0}};
    double predicted[WIDTH] = {0}, zero[WIDTH] = {0};
    uint8_t own[WIDTH] = {0, 1}, any[WIDTH] = {0, 1, 0, 1};
    struct tess_candidates candidates = {3, WIDTH, 0, measured[0], own, zero, NULL, any};
    struct tess_scores scores = {0};

    (void)state;
    measured[0][1] = -9;
    measured[0][3] = 5;
    measured[1][3] = -5;
    for (int i = 4; i < WIDTH; i++) {
        predicted[i] = measured[0][i] = (float)(i % 3);
        measured[1][i] = measured[0][i] + 0.01F;
        measured[2][i] = 1 - measured[0][i];
    }
    predicted[3] = -5;
    tess_candidates_score(&candidates, predicted, &scores);
    for (int d = 0; d < 3; d++) {
        assert_true(scores.value[TESS_DISCRIMINATION + d] < 1);
        NEAR(scores.value[TESS_NO_TARGETS + d], 1);
    }
    for (int i = 0; i < PLAIN; i++)
        any[i] = 1;
    tess_candidates_score(&candidates, predicted, &scores);
    for (int d = 0; d < 3; d++) {
        assert_true(isnan(scores.value[TESS_NO_TARGETS + d]));
        assert_int_equal(scores.reason[TESS_NO_TARGETS + d], TESS_FEW_READOUTS);
    }
    candidates.targets = candidates.excluded = NULL;
    tess_candidates_score(&candidates, predicted, &scores);
    for (int d = 0; d < 3; d++)
        NEAR(scores.value[TESS_NO_TARGETS + d], scores.value[TESS_DISCRIMINATION + d]);
}

static void metrics__targets(void **state)
{
    (void)state;
    assert_true(tess_is_target("TP53", "TP53"));
    assert_true(tess_is_target("CRISPRi_TP53", "Transcriptome_TP53"));
    assert_true(tess_is_target("CRISPR:i_TP53", "TP53"));
    assert_false(tess_is_target("CRISPRi_TP53", "Transcriptome_TP5"));
    assert_false(tess_is_target("drug_10", "gene_10")); /* a number is no name */
    assert_true(tess_is_target("g_10", "g_10"));
}

static void fill_scores(struct tess_scores *scores, double error, double r)
{
    *scores = (struct tess_scores){.pool = {.n = 4, .e2 = 4 * error * error}};
    for (int k = TESS_CHANGE; k < TESS_METRICS; k++) {
        scores->value[k] = NAN;
        scores->reason[k] = TESS_SMALL_PANEL;
    }
    scores->value[TESS_CHANGE] = r;
    scores->reason[TESS_CHANGE] = isnan(r) ? TESS_CONSTANT : TESS_DEFINED;
}

/* n experiments' scores, (n, n_methods). */
static void bootstrap(struct tess_outcome *outcome, int n, const int64_t *perturbation,
                      int n_methods, const struct tess_scores *score, int64_t n_resamples)
{
    struct tess_draw draw = {n_resamples, 3, 0};
    struct tess_tally tally;
    struct tess_sample sample;
    double *resample;

    tess_tally_init(&tally, n_methods, 10);
    for (int i = 0; i < n; i++)
        tess_tally_add(&tally, perturbation[i], score + i * n_methods);
    tess_sample_init(&sample, &tally);
    resample = TESS_NEW(double, n_resamples *tess_sample_width(&sample));
    for (int64_t b = 0; b * TESS_RESAMPLES < n_resamples; b++)
        tess_bootstrap_block(&sample, &draw, b,
                             resample + b * TESS_RESAMPLES * tess_sample_width(&sample));
    tess_bootstrap_init(outcome, &tally, &sample, n_resamples, resample);
    tess_free(resample);
    tess_sample_release(&sample);
    tess_tally_release(&tally);
}

static void bootstrap__pairs_and_intervals(void **state)
{
    const int64_t perturbation[] = {7, 7, 2, 9, 9};
    const double errors[] = {1, 2, 3, 4, 5};
    struct tess_scores score[10];
    struct tess_outcome outcome, again;

    (void)state;
    for (int i = 0; i < 5; i++) {
        fill_scores(&score[2 * i], errors[i], i == 4 ? NAN : 0.1 * i);
        fill_scores(&score[2 * i + 1], 2 * errors[i], 0);
    }
    bootstrap(&outcome, 5, perturbation, 2, score, 400);
    bootstrap(&again, 5, perturbation, 2, score, 400);
    assert_int_equal(outcome.n_perturbations, 3);
    NEAR(outcome.own[TESS_RMSE].value, sqrt(55.0 / 5));
    NEAR(outcome.difference[TESS_METRICS + TESS_RMSE].value, -sqrt(55.0 / 5));
    NEAR(outcome.skill[TESS_METRICS + TESS_RMSE].value, 0.5);
    assert_true(outcome.own[TESS_RMSE].low >= sqrt(2.5) && outcome.own[TESS_RMSE].high <= 4.53);
    assert_true(outcome.own[TESS_RMSE].low < outcome.own[TESS_RMSE].value);
    /* the ratio is 2 in every resample, so the difference mirrors the interval */
    NEAR(outcome.difference[TESS_METRICS].low, -outcome.own[TESS_RMSE].high);
    NEAR(outcome.own[TESS_CHANGE].value, 0.15);
    assert_int_equal(outcome.own[TESS_CHANGE].n, 4);
    assert_int_equal(outcome.difference[TESS_METRICS + TESS_CHANGE].n, 4);
    NEAR(outcome.skill[TESS_METRICS + TESS_CHANGE].value, 0.15);
    assert_int_equal(outcome.own[TESS_CHANGE + 1].reason, TESS_SMALL_PANEL);
    assert_memory_equal(&outcome.own[0].low, &again.own[0].low, 2 * sizeof(double));
    tess_bootstrap_release(&outcome);
    tess_bootstrap_release(&again);
}

static void bootstrap__one_perturbation(void **state)
{
    const int64_t perturbation[] = {7};
    struct tess_scores score[1];
    struct tess_outcome outcome;

    (void)state;
    fill_scores(&score[0], 2, 1);
    bootstrap(&outcome, 1, perturbation, 1, score, 10);
    NEAR(outcome.own[TESS_RMSE].value, 2);
    assert_true(isnan(outcome.own[TESS_RMSE].low));
    assert_int_equal(outcome.own[TESS_RMSE].no_interval, TESS_ONE_PERTURBATION);
    assert_true(isnan(outcome.skill[TESS_RMSE].value)); /* nothing to compare it with */
    tess_bootstrap_release(&outcome);
}

static void ceiling__two_folds(void **state)
{
    float value[] = {1, 2, 3, 4, /**/ 2, 2, 4, 3};
    int64_t replicates[] = {2, 2};
    double mean[4] = {0}, r;
    int pearson = tess_metric_change(0, TESS_BY_MEAN, TESS_M_PEARSON);
    struct tess_folds folds = {2, 4, value, replicates};
    struct tess_ceiling ceiling = {0};
    struct tess_ceiling_sum sum = {0};
    struct tess_scores scores;

    (void)state;
    tess_ceiling_score(&folds, &(struct tess_change_reference){NULL, mean, 0},
                       (struct tess_halving){5, 0, 12}, &scores);
    tess_ceiling_add(&sum, &scores);
    tess_ceiling_halving(&ceiling, &sum);
    assert_int_equal(ceiling.n_experiments, 1);
    NEAR(tess_ceiling_value(&ceiling, TESS_RMSE), sqrt(3.0 / 4) / 2);
    r = scores.value[pearson];
    NEAR(r, 2.5 / sqrt(5 * 2.75));
    NEAR(tess_ceiling_value(&ceiling, pearson), sqrt(2 * r / (1 + r)));
    NEAR(tess_ceiling_value(&ceiling, tess_metric_change(0, TESS_BY_MEAN, TESS_M_MSE)), 0.75 / 4);
    assert_true(isnan(tess_ceiling_value(&ceiling, TESS_CHANGE)));
    assert_int_equal(ceiling.reason[TESS_CHANGE], TESS_NO_CONTROL);
    folds.n = 1;
    tess_ceiling_score(&folds, &(struct tess_change_reference){NULL, mean, 0},
                       (struct tess_halving){5, 0, 12}, &scores);
    assert_true(scores.pool.n == 0);
}

/* With any number of replicates of noise 1 the ceiling is 1/sqrt(n), and the correlation that of
 * the truth with the mean of all. */
static void ceiling__noise_of_the_mean(void **state)
{
    enum { PANEL = 60000, MOST = 5 };
    static float value[MOST * PANEL];
    static double mean[PANEL];
    int64_t replicates[MOST] = {1, 1, 1, 1, 1};
    struct tess_random stream = tess_random_stream(1, TESS_RANDOM_TEST, 9);
    int pearson = tess_metric_change(0, TESS_BY_MEAN, TESS_M_PEARSON);

    (void)state;
    for (int64_t i = 0; i < MOST * PANEL; i++)
        value[i] = (float)(tess_random_normal(stream, (uint64_t)i) +
                           tess_random_normal(stream, (uint64_t)(1000000 + i % PANEL)));
    for (int n = 2; n <= MOST; n++) {
        struct tess_folds folds = {n, PANEL, value, replicates};
        struct tess_ceiling ceiling = {0};
        struct tess_ceiling_sum sum = {0};
        struct tess_scores scores;

        tess_ceiling_score(&folds, &(struct tess_change_reference){NULL, mean, 0},
                           (struct tess_halving){5, 0, 12}, &scores);
        tess_ceiling_add(&sum, &scores);
        tess_ceiling_halving(&ceiling, &sum);
        assert_true(fabs(tess_ceiling_value(&ceiling, TESS_RMSE) * sqrt(n) - 1) < 0.02);
        assert_true(fabs(tess_ceiling_value(&ceiling, pearson) - sqrt(n / (n + 1.0))) < 0.01);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__names_are_distinct),
        cmocka_unit_test(metrics__ranks_average_ties),
        cmocka_unit_test(metrics__correlation),
        cmocka_unit_test(metrics__of_a_change),
        cmocka_unit_test(metrics__undefined_has_a_reason),
        cmocka_unit_test(metrics__top_and_overlap),
        cmocka_unit_test(metrics__pool),
        cmocka_unit_test(metrics__noise_is_taken_out),
        cmocka_unit_test(ceiling__jackknife),
        cmocka_unit_test(candidates__ranked_with_ties),
        cmocka_unit_test(candidates__need_three_readouts),
        cmocka_unit_test(candidates__what_is_not_predicted),
        cmocka_unit_test(candidates__without_any_targets),
        cmocka_unit_test(metrics__targets),
        cmocka_unit_test(bootstrap__pairs_and_intervals),
        cmocka_unit_test(bootstrap__one_perturbation),
        cmocka_unit_test(ceiling__two_folds),
        cmocka_unit_test(ceiling__noise_of_the_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
