/* optimizer.c -- one step's formula for each rule, and catching up. */
#include "tessera/optimizer.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/vectorised.h"

#include <math.h>

/* A factor as the steps use it: they compute in float. */
static double rounded(double factor)
{
    return (double)(float)factor;
}

static void grow(struct tess_optimizer *optimizer, size_t need)
{
    double **array[] = {&optimizer->log_keep, &optimizer->stride, &optimizer->root,
                        &optimizer->rate};
    size_t room = optimizer->room;

    for (int i = 0; i < 4; i++) {
        room = optimizer->room;
        *array[i] = tess_grow(*array[i], &room, need, sizeof(double));
    }
    optimizer->room = room;
}

static void start(struct tess_optimizer *optimizer, const struct tess_config *config, double factor)
{
    *optimizer = (struct tess_optimizer){
        .kind = config->train.optimizer,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = config->train.weight_decay,
        .momentum = config->train.momentum,
        .factor = factor,
    };
    grow(optimizer, 1024);
}

void tess_optimizer_init(struct tess_optimizer *optimizer, const struct tess_config *config)
{
    start(optimizer, config, 1);
    for (int p = 0; p < TESS_N_PARTS; p++)
        if (tess_rates_factor(config, p) != 1) {
            optimizer->part[p] = TESS_NEW(struct tess_optimizer, 1);
            start(optimizer->part[p], config, tess_rates_factor(config, p));
        }
}

void tess_optimizer_release(struct tess_optimizer *optimizer)
{
    tess_free(optimizer->rate);
    tess_free(optimizer->log_keep);
    tess_free(optimizer->stride);
    tess_free(optimizer->root);
    for (int p = 0; p < TESS_N_PARTS; p++)
        if (optimizer->part[p]) {
            tess_optimizer_release(optimizer->part[p]);
            tess_free(optimizer->part[p]);
        }
    *optimizer = (struct tess_optimizer){0};
}

void tess_optimizer_begin(struct tess_optimizer *optimizer, double rate)
{
    int64_t t = ++optimizer->step;

    for (int p = 0; p < TESS_N_PARTS; p++)
        if (optimizer->part[p]) {
            optimizer->part[p]->step = t - 1; /* the whole's may have been set back */
            tess_optimizer_begin(optimizer->part[p], rate * optimizer->part[p]->factor);
        }
    grow(optimizer, (size_t)t + 1);
    optimizer->rate[t] = rate;
    /* of the factor as it is rounded: thousands of steps with it must come to the same */
    optimizer->log_keep[t] =
        optimizer->log_keep[t - 1] + log(rounded(1.0 - rate * optimizer->weight_decay));
    optimizer->stride[t] = rate / (1.0 - pow(optimizer->beta1, (double)t));
    optimizer->root[t] = 1.0 / sqrt(1.0 - pow(optimizer->beta2, (double)t));
}

/* The scalars of one step, rounded once, so that a replayed step has the bits of a taken one. */
struct factors {
    float keep, decay; /* x's decoupled, the gradient's coupled weight decay */
    float beta1, rest1, beta2, rest2;
    float rate, root, epsilon; /* rate / (1 - β1^t), 1 / sqrt(1 - β2^t) */
};

/* Those of SGD. */
struct sgd_factors {
    float rate, momentum, decay;
};

static struct factors factors_at(const struct tess_optimizer *o, int64_t t)
{
    int decoupled = o->kind == TESS_OPTIMIZER_ADAMW;
    double rate = o->rate[t];

    return (struct factors){
        .keep = decoupled ? (float)(1.0 - rate * o->weight_decay) : 1.0f,
        .decay = decoupled ? 0.0f : (float)o->weight_decay,
        .beta1 = (float)o->beta1,
        .rest1 = (float)(1.0 - o->beta1),
        .beta2 = (float)o->beta2,
        .rest2 = (float)(1.0 - o->beta2),
        .rate = (float)o->stride[t],
        .root = (float)o->root[t],
        .epsilon = (float)o->epsilon,
    };
}

/* Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), in the form of torch.optim: x
 * -= rate / (1 - β1^t) · m / (√v / √(1 - β2^t) + ε). */
VECTORISED static void adam(struct factors f, int64_t n, const float *restrict gradient,
                            float scale, struct tess_parameters at)
{
    float *restrict x = at.x, *restrict m = at.m, *restrict v = at.v;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * scale + f.decay * x[i];

        m[i] = f.beta1 * m[i] + f.rest1 * g;
        v[i] = f.beta2 * v[i] + f.rest2 * g * g;
        x[i] = f.keep * x[i] - f.rate * m[i] / (sqrtf(v[i]) * f.root + f.epsilon);
    }
}

/* The same with a gradient of zero: the same operations, so that a replayed step gives the bits of
 * a taken one. */
VECTORISED static void adam_idle(struct factors f, int64_t n, struct tess_parameters at)
{
    float *restrict x = at.x, *restrict m = at.m, *restrict v = at.v;

    for (int64_t i = 0; i < n; i++) {
        float g = f.decay * x[i];

        m[i] = f.beta1 * m[i] + f.rest1 * g;
        v[i] = f.beta2 * v[i] + f.rest2 * g * g;
        x[i] = f.keep * x[i] - f.rate * m[i] / (sqrtf(v[i]) * f.root + f.epsilon);
    }
}

/* torch.optim.SGD without dampening: the momentum is of the gradient, the rate is applied to it. */
VECTORISED static void sgd(struct sgd_factors f, int64_t n, const float *restrict gradient,
                           float scale, struct tess_parameters at)
{
    float *restrict x = at.x, *restrict m = at.m;

    for (int64_t i = 0; i < n; i++) {
        float g = (gradient ? gradient[i] * scale : 0.0f) + f.decay * x[i];

        m[i] = f.momentum * m[i] + g;
        x[i] -= f.rate * m[i];
    }
}

static void step(const struct tess_optimizer *o, int64_t t, int64_t n, const float *g, float scale,
                 struct tess_parameters at)
{
    if (o->kind == TESS_OPTIMIZER_SGD)
        sgd((struct sgd_factors){(float)o->rate[t], (float)o->momentum, (float)o->weight_decay}, n,
            g, scale, at);
    else if (g)
        adam(factors_at(o, t), n, g, scale, at);
    else
        adam_idle(factors_at(o, t), n, at);
}

void tess_optimizer_update(const struct tess_optimizer *optimizer, int64_t n, const float *gradient,
                           float scale, struct tess_parameters at)
{
    if (optimizer->factor != 0)
        step(optimizer, optimizer->step, n, gradient, scale, at);
}

/* Coupled weight decay feeds the moments at every step: no closed form, all steps are replayed. */
static int fades(const struct tess_optimizer *o)
{
    return o->weight_decay == 0 || o->kind == TESS_OPTIMIZER_ADAMW;
}

/* Steps from + 1 … to of Adam without a gradient: with j = t - from, c_t = β2^(j/2) / sqrt(1 -
 * β2^t), x = keep · x - m Σ_t A_t / (sqrt(v) c_t + ε),   A_t = stride_t β1^j Π_{i>t} keep_i, and as
 * the c_t that carry weight lie close together, the sum is expanded around their mean c: Σ = (S0 +
 * w² S2 - w³ S3) / (sqrt(v) c + ε),   w = sqrt(v) c / (sqrt(v) c + ε), S_n = Σ_t A_t (c_t / c -
 * 1)^n                 (S1 is 0). */
struct jump {
    float keep, fade1, fade2, c, s0, s2, s3, epsilon;
};

static struct jump jump_adam(const struct tess_optimizer *o, int64_t from, int64_t to)
{
    /* After TESS_REPLAY steps m has faded away: only weight decay (keep) still counts. Summed from
     * the last step backwards, as keep is the product over the steps that follow. */
    int64_t end = to - from > TESS_REPLAY ? from + TESS_REPLAY : to;
    int decoupled = o->kind == TESS_OPTIMIZER_ADAMW;
    double keep = decoupled ? exp(o->log_keep[to] - o->log_keep[end]) : 1.0;
    double beta1 = rounded(o->beta1), beta2 = rounded(o->beta2);
    double fade = pow(beta1, (double)(end - from)), half = pow(beta2, 0.5 * (double)(end - from));
    double reference = o->root[end] * half, s[4] = {0}, c, d, grow1 = 1 / beta1;
    double grow2 = 1 / sqrt(beta2);

    for (int64_t t = end; t > from; t--) { /* moments of c_t about the last one */
        double a = o->stride[t] * fade * keep, u = o->root[t] * half - reference;

        s[0] += a;
        s[1] += a * u;
        s[2] += a * u * u;
        s[3] += a * u * u * u;
        fade *= grow1;
        half *= grow2;
        keep *= decoupled ? rounded(1.0 - o->rate[t] * o->weight_decay) : 1.0;
    }
    d = s[0] > 0 ? s[1] / s[0] : 0; /* then about their mean */
    c = reference + d;
    return (struct jump){
        .keep = (float)keep,
        .fade1 = (float)pow(beta1, (double)(to - from)),
        .fade2 = (float)pow(beta2, (double)(to - from)),
        .c = (float)c,
        .s0 = (float)s[0],
        .s2 = (float)((s[2] - d * s[1]) / (c * c)),
        .s3 = (float)((s[3] - 3 * d * s[2] + 2 * d * d * s[1]) / (c * c * c)),
        .epsilon = (float)o->epsilon,
    };
}

VECTORISED static void leap_adam(struct jump f, int64_t n, struct tess_parameters at)
{
    float *restrict x = at.x, *restrict m = at.m, *restrict v = at.v;

    for (int64_t i = 0; i < n; i++) {
        float q = sqrtf(v[i]) * f.c, one = 1.0f / (q + f.epsilon), w = q * one;

        x[i] = f.keep * x[i] - m[i] * one * (f.s0 + w * w * (f.s2 - w * f.s3));
        m[i] *= f.fade1;
        v[i] *= f.fade2;
    }
}

/* The same for momentum: x -= m Σ_t rate_t μ^j. */
static void leap_sgd(const struct tess_optimizer *o, int64_t from, int64_t to, int64_t n,
                     struct tess_parameters at)
{
    double momentum = rounded(o->momentum), sum = 0, fade = 1;

    for (int64_t t = from + 1; t <= to && fade > 1e-12; t++)
        sum += o->rate[t] * (fade *= momentum);
    fade = pow(momentum, (double)(to - from));
    for (int64_t i = 0; i < n; i++) {
        at.x[i] -= (float)sum * at.m[i];
        at.m[i] *= (float)fade;
    }
}

/* The step up to which steps are replayed one by one; the rest is one jump. Early rows are replayed
 * to TESS_REPLAY_UNTIL, where the jump begins to be exact enough. */
static int64_t replay_until(const struct tess_optimizer *o, int64_t from, int64_t to)
{
    TESS_BUG_IF(from > to || to > o->step);
    if (!fades(o) || to - from == 1)
        return to;
    if (o->kind != TESS_OPTIMIZER_SGD && from < TESS_REPLAY_UNTIL)
        return to < TESS_REPLAY_UNTIL ? to : TESS_REPLAY_UNTIL;
    return from;
}

/* Jumps to one step, by where they begin: rows of a table begin at few different steps. Where they
 * end is no part of the key: a memo serves one call, whose `to` is the same for all rows. */
#define MEMO 64
struct memo {
    int64_t from[MEMO];
    struct jump jump[MEMO];
};

static const struct jump *recall(struct memo *memo, const struct tess_optimizer *o, int64_t from,
                                 int64_t to)
{
    int64_t at = from % MEMO;

    if (memo->from[at] != from + 1) { /* 0: nothing yet */
        memo->from[at] = from + 1;
        memo->jump[at] = jump_adam(o, from, to);
    }
    return &memo->jump[at];
}

static void catch_up(const struct tess_optimizer *o, int64_t n, int64_t from, int64_t to,
                     struct tess_parameters at, struct memo *memo)
{
    int64_t replayed = replay_until(o, from, to);

    if (o->factor == 0)
        return;
    for (int64_t t = from + 1; t <= replayed; t++)
        step(o, t, n, NULL, 0, at);
    if (replayed == to)
        return;
    if (o->kind == TESS_OPTIMIZER_SGD)
        leap_sgd(o, replayed, to, n, at);
    else
        leap_adam(*recall(memo, o, replayed, to), n, at);
}

void tess_optimizer_catch_up(const struct tess_optimizer *optimizer, int64_t n, int64_t from,
                             int64_t to, struct tess_parameters at)
{
    catch_up(optimizer, n, from, to, at, &(struct memo){.from = {0}});
}

/* Rows lie anywhere in tables larger than any cache: they are on their way before they are needed.
 */
static void prefetch(const float *row, int64_t dim)
{
    for (int64_t i = 0; i < dim; i += 16)
        __builtin_prefetch(row + i, 1);
}

/* Rows are independent of each other: which thread takes which changes no bit. They take very
 * different times (a leap, or a thousand steps), hence dynamic. */
void tess_optimizer_catch_up_rows(const struct tess_optimizer *optimizer, int64_t n,
                                  const int64_t *row, int64_t to,
                                  const struct tess_parameter_rows *rows)
{
    const struct tess_parameters all = rows->at;
    int64_t dim = rows->dim;

#pragma omp parallel if (n > 64)
    {
        struct memo memo = {.from = {0}};

#pragma omp for schedule(dynamic, 32)
        for (int64_t i = 0; i < n; i++) {
            int64_t at = row[i] * dim;

            if (i + 2 < n) {
                prefetch(all.x + row[i + 2] * dim, dim);
                prefetch(all.m + row[i + 2] * dim, dim);
                prefetch(all.v + row[i + 2] * dim, dim);
            }
            catch_up(optimizer, dim, rows->last[row[i]], to,
                     (struct tess_parameters){all.x + at, all.m + at, all.v + at}, &memo);
            rows->last[row[i]] = to;
        }
    }
}

double tess_optimizer_rate(const struct tess_config *config, int64_t epoch, int64_t step_in_epoch,
                           int64_t steps_per_epoch)
{
    double base = config->train.learning_rate, epochs = (double)config->train.epochs;
    double at = (double)epoch + (double)step_in_epoch / (double)steps_per_epoch;

    /* A linear rise; its first step has a rate above 0, its last the base rate. */
    if (at < config->train.warmup)
        return base * (at + 1.0 / (double)steps_per_epoch) / config->train.warmup > base
                   ? base
                   : base * (at + 1.0 / (double)steps_per_epoch) / config->train.warmup;
    if (config->train.schedule == TESS_SCHEDULE_EXPONENTIAL)
        /* the decay begins where the rise ends: no step down between them */
        return base * pow(config->train.decay, fmax(0, (double)epoch - ceil(config->train.warmup)));
    if (config->train.schedule == TESS_SCHEDULE_COSINE) {
        /* Half a cosine from base to last (torch CosineAnnealingLR), by the step, not by the
         * epoch. */
        double last = base * config->train.decay;
        double share = (at - config->train.warmup) / (epochs - config->train.warmup);

        return last + 0.5 * (base - last) * (1.0 + cos(M_PI * (share < 1 ? share : 1)));
    }
    return base;
}
