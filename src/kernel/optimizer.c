/* optimizer.c -- one step's formula for each rule, and catching up. */
#include "tessera/optimizer.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/vectorised.h"

#include <math.h>

void tess_optimizer_init(struct tess_optimizer *optimizer, const struct tess_config *config)
{
    *optimizer = (struct tess_optimizer){
        .kind = config->train.optimizer,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = config->train.weight_decay,
        .momentum = config->train.momentum,
    };
    optimizer->rate = tess_grow(NULL, &optimizer->room, 1024, sizeof(double));
    optimizer->log_keep = TESS_NEW(double, optimizer->room);
}

void tess_optimizer_release(struct tess_optimizer *optimizer)
{
    tess_free(optimizer->rate);
    tess_free(optimizer->log_keep);
    *optimizer = (struct tess_optimizer){0};
}

void tess_optimizer_begin(struct tess_optimizer *optimizer, double rate)
{
    int64_t t = ++optimizer->step;
    size_t room = optimizer->room;

    optimizer->log_keep =
        tess_grow(optimizer->log_keep, &room, (size_t)t + 1, sizeof *optimizer->log_keep);
    optimizer->rate = tess_grow(optimizer->rate, &optimizer->room, (size_t)t + 1, sizeof(double));
    optimizer->rate[t] = rate;
    /* of the factor as it is rounded: thousands of steps with it must come to the same */
    optimizer->log_keep[t] =
        optimizer->log_keep[t - 1] + log((double)(float)(1.0 - rate * optimizer->weight_decay));
}

/* The scalars of one step, rounded once, so that a replayed step has the bits of a taken one. */
struct factors {
    float keep, decay; /* x's decoupled, the gradient's coupled weight decay */
    float beta1, rest1, beta2, rest2;
    float rate, root, epsilon; /* rate / (1 - β1^t), 1 / sqrt(1 - β2^t)             */
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
        .rate = (float)(rate / (1.0 - pow(o->beta1, (double)t))),
        .root = (float)(1.0 / sqrt(1.0 - pow(o->beta2, (double)t))),
        .epsilon = (float)o->epsilon,
    };
}

VECTORISED static void adam(struct factors f, int64_t n, const float *restrict gradient,
                            float scale, float *restrict x, float *restrict m, float *restrict v)
{
    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * scale + f.decay * x[i];

        m[i] = f.beta1 * m[i] + f.rest1 * g;
        v[i] = f.beta2 * v[i] + f.rest2 * g * g;
        x[i] = f.keep * x[i] - f.rate * m[i] / (sqrtf(v[i]) * f.root + f.epsilon);
    }
}

/* The same with a gradient of zero. */
VECTORISED static void adam_idle(struct factors f, int64_t n, float *restrict x, float *restrict m,
                                 float *restrict v)
{
    for (int64_t i = 0; i < n; i++) {
        float g = f.decay * x[i];

        m[i] = f.beta1 * m[i] + f.rest1 * g;
        v[i] = f.beta2 * v[i] + f.rest2 * g * g;
        x[i] = f.keep * x[i] - f.rate * m[i] / (sqrtf(v[i]) * f.root + f.epsilon);
    }
}

VECTORISED static void sgd(float rate, float momentum, float decay, int64_t n,
                           const float *restrict gradient, float scale, float *restrict x,
                           float *restrict m)
{
    for (int64_t i = 0; i < n; i++) {
        float g = (gradient ? gradient[i] * scale : 0.0f) + decay * x[i];

        m[i] = momentum * m[i] + g;
        x[i] -= rate * m[i];
    }
}

static void step(const struct tess_optimizer *o, int64_t t, int64_t n, const float *g, float scale,
                 float *const state[3])
{
    if (o->kind == TESS_OPTIMIZER_SGD)
        sgd((float)o->rate[t], (float)o->momentum, (float)o->weight_decay, n, g, scale, state[0],
            state[1]);
    else if (g)
        adam(factors_at(o, t), n, g, scale, state[0], state[1], state[2]);
    else
        adam_idle(factors_at(o, t), n, state[0], state[1], state[2]);
}

void tess_optimizer_update(const struct tess_optimizer *optimizer, int64_t n, const float *g,
                           float scale, float *x, float *m, float *v)
{
    step(optimizer, optimizer->step, n, g, scale, (float *const[]){x, m, v});
}

/* Steps after which the moments move nothing any more. Coupled weight decay feeds them at every
 * step: no closed form, all steps are replayed. A momentum near 1 fades slowly. */
static int64_t replay(const struct tess_optimizer *o)
{
    double steps = TESS_REPLAY;

    if (o->weight_decay != 0 && o->kind != TESS_OPTIMIZER_ADAMW)
        return INT64_MAX;
    if (o->kind == TESS_OPTIMIZER_SGD && o->momentum > 0.9)
        steps = ceil(log(1e-9 * (1 - o->momentum)) / log(o->momentum));
    return steps > TESS_REPLAY ? (int64_t)steps : TESS_REPLAY;
}

void tess_optimizer_catch_up(const struct tess_optimizer *optimizer, int64_t n, int64_t from,
                             int64_t to, float *x, float *m, float *v)
{
    const struct tess_optimizer *o = optimizer;
    int64_t until = to - from > replay(o) ? from + replay(o) : to;
    float keep, fade1, fade2;

    TESS_BUG_IF(from > to || to > o->step);
    for (int64_t t = from + 1; t <= until; t++)
        step(o, t, n, NULL, 0, (float *const[]){x, m, v});
    if (until == to)
        return;
    keep = o->kind == TESS_OPTIMIZER_ADAMW ? (float)exp(o->log_keep[to] - o->log_keep[until]) : 1;
    fade1 = (float)pow((float)(o->kind == TESS_OPTIMIZER_SGD ? o->momentum : o->beta1),
                       (double)(to - until));
    fade2 = (float)pow((float)o->beta2, (double)(to - until));
    for (int64_t i = 0; i < n; i++) {
        x[i] *= keep;
        m[i] *= fade1;
        v[i] *= fade2;
    }
}

double tess_optimizer_rate(const struct tess_config *config, int64_t epoch, int64_t step_in_epoch,
                           int64_t steps_per_epoch)
{
    double base = config->train.learning_rate, epochs = (double)config->train.epochs;
    double at = (double)epoch + (double)step_in_epoch / (double)steps_per_epoch;

    if (at < config->train.warmup)
        return base * (at + 1.0 / (double)steps_per_epoch) / config->train.warmup > base
                   ? base
                   : base * (at + 1.0 / (double)steps_per_epoch) / config->train.warmup;
    if (config->train.schedule == TESS_SCHEDULE_EXPONENTIAL)
        return base * pow(config->train.decay, (double)epoch);
    if (config->train.schedule == TESS_SCHEDULE_COSINE) {
        double last = base * config->train.decay;
        double share = (at - config->train.warmup) / (epochs - config->train.warmup);

        return last + 0.5 * (base - last) * (1.0 + cos(M_PI * (share < 1 ? share : 1)));
    }
    return base;
}
