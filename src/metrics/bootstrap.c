/* bootstrap.c -- resampled perturbations.
 *
 * Every score is a function of sums over experiments, so that a resample is a weighted sum of the
 * perturbations' sums. Percentile intervals; a resample in which a score is undefined is left out
 * of that score's interval. */
#include "tessera/bootstrap.h"

#include "tessera/alloc.h"
#include "tessera/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sums { /* of one perturbation, or of a resample, by one method */
    struct tess_pool pool;
    double sum[TESS_METRICS], n[TESS_METRICS];
    double difference[TESS_METRICS], base[TESS_METRICS], both[TESS_METRICS];
};

struct state {
    const struct tess_sample *sample;
    int64_t n_groups;
    int64_t *group; /* (n) of each experiment */
    struct sums *sums; /* (n_groups, n_methods) */
    int n_active, active[TESS_METRICS]; /* means over experiments that any method defines */
    double *own, *other; /* (n_methods, TESS_METRICS, n_resamples) */
};

struct numbered {
    int64_t key, at;
};

static int compare_keys(const void *a, const void *b)
{
    const struct numbered *u = a, *v = b;

    return (u->key > v->key) - (u->key < v->key);
}

static int compare_doubles(const void *a, const void *b)
{
    double u = *(const double *)a, v = *(const double *)b;

    return (u > v) - (u < v);
}

static void find_groups(struct state *state)
{
    int64_t n = state->sample->n;
    struct numbered *item = TESS_NEW(struct numbered, n);

    state->group = TESS_NEW(int64_t, n);
    for (int64_t i = 0; i < n; i++)
        item[i] = (struct numbered){state->sample->perturbation[i], i};
    qsort(item, (size_t)n, sizeof *item, compare_keys);
    for (int64_t i = 0; i < n; i++) {
        state->n_groups += i == 0 || item[i].key != item[i - 1].key;
        state->group[item[i].at] = state->n_groups - 1;
    }
    tess_free(item);
}

static void add_experiment(struct sums *sums, const struct tess_scores *own,
                           const struct tess_scores *first)
{
    tess_pool_add(&sums->pool, &own->pool, 1);
    for (int k = TESS_CHANGE; k < TESS_METRICS; k++) {
        if (!isnan(own->value[k])) {
            sums->sum[k] += own->value[k];
            sums->n[k] += 1;
        }
        if (!isnan(own->value[k]) && !isnan(first->value[k])) {
            sums->difference[k] += first->value[k] - own->value[k];
            sums->base[k] += own->value[k];
            sums->both[k] += 1;
        }
    }
}

/* Scores that no method has in this sample (no control, small panels) are left out of the sums of
 * every resample. */
static void find_active(struct state *state)
{
    int64_t n = state->n_groups * state->sample->n_methods;

    for (int k = TESS_CHANGE; k < TESS_METRICS; k++) {
        int64_t i = 0;

        while (i < n && state->sums[i].n[k] == 0)
            i++;
        if (i < n)
            state->active[state->n_active++] = k;
    }
}

static void add_sums(const struct state *state, struct sums *total, const struct sums *sums,
                     double weight)
{
    tess_pool_add(&total->pool, &sums->pool, weight);
    for (int i = 0; i < state->n_active; i++) {
        int k = state->active[i];

        total->sum[k] += weight * sums->sum[k];
        total->n[k] += weight * sums->n[k];
        total->difference[k] += weight * sums->difference[k];
        total->base[k] += weight * sums->base[k];
        total->both[k] += weight * sums->both[k];
    }
}

static double score_of(const struct sums *sums, int metric, int *reason)
{
    if (metric < TESS_CHANGE)
        return tess_pool_score(&sums->pool, metric, reason);
    *reason = TESS_DEFINED;
    return sums->n[metric] > 0 ? sums->sum[metric] / sums->n[metric] : NAN;
}

/* Method 0 less the other one. */
static double difference_of(const struct sums *first, const struct sums *sums, int metric)
{
    int reason;

    if (metric < TESS_CHANGE)
        return tess_pool_score(&first->pool, metric, &reason) -
               tess_pool_score(&sums->pool, metric, &reason);
    return sums->both[metric] > 0 ? sums->difference[metric] / sums->both[metric] : NAN;
}

/* As many perturbations as there are, drawn with replacement; each counts as often as it was drawn.
 * Experiments are weighed by their perturbation, as those of one are not independent. */
static void resample(struct state *state, int64_t b, double *weight, struct sums *total)
{
    const struct tess_sample *sample = state->sample;
    struct tess_random stream =
        tess_random_stream(sample->seed, TESS_RANDOM_BOOTSTRAP, sample->stream << 32 | (uint64_t)b);
    int reason;

    memset(weight, 0, (size_t)state->n_groups * sizeof *weight);
    memset(total, 0, (size_t)sample->n_methods * sizeof *total);
    for (int64_t i = 0; i < state->n_groups; i++)
        weight[tess_random_below(stream, (uint64_t)i, state->n_groups)] += 1;
    for (int64_t g = 0; g < state->n_groups; g++)
        for (int m = 0; weight[g] > 0 && m < sample->n_methods; m++)
            add_sums(state, &total[m], &state->sums[g * sample->n_methods + m], weight[g]);
    for (int m = 0; m < sample->n_methods; m++)
        for (int k = 0; k < TESS_METRICS; k++) {
            int64_t at = (m * TESS_METRICS + k) * sample->n_resamples + b;

            state->own[at] = score_of(&total[m], k, &reason);
            state->other[at] = difference_of(&total[0], &total[m], k);
        }
}

/* Between the two nearest values, linearly (type 7 of Hyndman and Fan 1996; NumPy's default). */
static double percentile(int64_t n, const double *sorted, double share)
{
    double place = share * (double)(n - 1);
    int64_t low = (int64_t)floor(place), high = low + 1 < n ? low + 1 : low;

    return sorted[low] + (place - (double)low) * (sorted[high] - sorted[low]);
}

static void find_interval(const struct state *state, const double *value,
                          struct tess_estimate *estimate)
{
    int64_t n = 0;
    double *sorted = TESS_NEW(double, state->sample->n_resamples);

    estimate->low = estimate->high = NAN;
    estimate->no_interval = estimate->reason;
    for (int64_t b = 0; b < state->sample->n_resamples; b++)
        if (!isnan(value[b]))
            sorted[n++] = value[b];
    if (!isnan(estimate->value) && (state->n_groups < 2 || n < 2))
        estimate->no_interval = state->n_groups < 2 ? TESS_ONE_PERTURBATION : TESS_NO_RESAMPLES;
    else if (!isnan(estimate->value)) {
        qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
        estimate->low = percentile(n, sorted, 0.025);
        estimate->high = percentile(n, sorted, 0.975);
    }
    tess_free(sorted);
}

/* The reason that most experiments give, of those that have none of the score. */
static int common_reason(const struct tess_sample *sample, int method, int metric)
{
    int64_t count[TESS_REASONS] = {0};
    int best = TESS_NO_EXPERIMENTS;

    for (int64_t i = 0; i < sample->n; i++)
        count[sample->score[i * sample->n_methods + method].reason[metric]]++;
    for (int r = TESS_DEFINED + 1; r < TESS_REASONS; r++)
        if (count[r] > count[best])
            best = r;
    return best;
}

/* The share of the way from the baseline to a perfect score: of errors 1 - own / base, of scores
 * whose best is 1 (own - base) / (1 - base). */
static struct tess_estimate skill_of(double own, double base, int is_error, int reason)
{
    struct tess_estimate skill = {.value = NAN, .low = NAN, .high = NAN, .reason = reason};

    if (isnan(own) || isnan(base))
        return skill;
    skill.reason = TESS_PERFECT_BASELINE;
    if (is_error ? base == 0 : base == 1)
        return skill;
    skill.reason = TESS_DEFINED;
    skill.value = is_error ? 1 - own / base : (own - base) / (1 - base);
    return skill;
}

/* A mean over experiments is compared over those where both methods have it: base is the other
 * method's mean over them, so that difference + base is method 0's. */
static void summarize(const struct state *state, const struct sums *total, int m, int k,
                      struct tess_outcome *outcome)
{
    const struct tess_sample *sample = state->sample;
    int at = m * TESS_METRICS + k, reason, pooled = k < TESS_CHANGE;
    const double *values = state->own + (int64_t)at * sample->n_resamples;
    const double *others = state->other + (int64_t)at * sample->n_resamples;
    struct tess_estimate *own = &outcome->own[at], *difference = &outcome->difference[at];
    double base;

    own->value = score_of(&total[m], k, &reason);
    own->n = pooled ? sample->n : (int64_t)total[m].n[k];
    if (isnan(own->value))
        own->reason = pooled ? reason : common_reason(sample, m, k);
    find_interval(state, values, own);
    difference->value = difference_of(&total[0], &total[m], k);
    difference->n = pooled ? sample->n : (int64_t)total[m].both[k];
    if (isnan(difference->value))
        difference->reason = own->reason              ? own->reason
                             : outcome->own[k].reason ? outcome->own[k].reason
                                                      : TESS_NO_EXPERIMENTS;
    find_interval(state, others, difference);
    base = pooled ? own->value : total[m].base[k] / total[m].both[k];
    outcome->skill[at] =
        skill_of(difference->value + base, base, tess_metric_is_error(k), difference->reason);
}

/* Sums are made once a perturbation; the estimates are those of the resample that has each one
 * once, by the same code as all others. */
void tess_bootstrap_init(struct tess_outcome *outcome, const struct tess_sample *sample)
{
    int n_methods = sample->n_methods;
    size_t size = (size_t)n_methods * TESS_METRICS;
    struct state state = {.sample = sample};
    struct sums *total = TESS_NEW(struct sums, n_methods);
    double *weight;

    find_groups(&state);
    state.sums = TESS_NEW(struct sums, state.n_groups * n_methods);
    state.own = TESS_NEW(double, size *(size_t)sample->n_resamples);
    state.other = TESS_NEW(double, size *(size_t)sample->n_resamples);
    weight = TESS_NEW(double, state.n_groups);
    for (int64_t i = 0; i < sample->n; i++)
        for (int m = 0; m < n_methods; m++)
            add_experiment(&state.sums[state.group[i] * n_methods + m],
                           &sample->score[i * n_methods + m], &sample->score[i * n_methods]);
    find_active(&state);
    for (int64_t b = 0; b < sample->n_resamples && state.n_groups > 1; b++)
        resample(&state, b, weight, total);
    memset(total, 0, (size_t)n_methods * sizeof *total);
    for (int64_t g = 0; g < state.n_groups; g++)
        for (int m = 0; m < n_methods; m++)
            add_sums(&state, &total[m], &state.sums[g * n_methods + m], 1);
    *outcome = (struct tess_outcome){.n_perturbations = state.n_groups};
    outcome->own = TESS_NEW(struct tess_estimate, size);
    outcome->difference = TESS_NEW(struct tess_estimate, size);
    outcome->skill = TESS_NEW(struct tess_estimate, size);
    for (int m = 0; m < n_methods; m++)
        for (int k = 0; k < TESS_METRICS; k++)
            summarize(&state, total, m, k, outcome);
    tess_free(state.group);
    tess_free(state.sums);
    tess_free(state.own);
    tess_free(state.other);
    tess_free(weight);
    tess_free(total);
}

void tess_bootstrap_release(struct tess_outcome *outcome)
{
    tess_free(outcome->own);
    tess_free(outcome->difference);
    tess_free(outcome->skill);
    *outcome = (struct tess_outcome){0};
}
