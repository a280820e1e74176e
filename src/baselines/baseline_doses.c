/* baseline_doses.c -- the baseline `interpolated`.
 *
 * Of a drug at a dose x (log10) is expected what all drugs have there, a straight line for each
 * readout of a context, plus a deviation: a process along the dose whose size grows with it, and
 * whose correlation falls with the distance (of first order, so that the doses next to x say all).
 * Both numbers are learned from neighbouring doses of all drugs. Between two measured doses that is
 * interpolation, beyond them extrapolation that is shrunk. Times are interpolated between, and the
 * nearest is taken beyond. */
#include "baseline_doses.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <string.h>

#define LEAST_KEPT 0.01 /* correlation a decade, so that its logarithm is finite */
#define MOST_KEPT  0.999
#define STEEPEST   2.302585 /* e-fold a decade: in proportion to the dose, or its inverse */
#define APART      0.1 /* decades; how doses hang together is not learned from closer ones */
#define SAME_TIME  1e-6 /* relative */

/* ---- what is asked of the index ---- */

static const char *symbol_of(const struct tess_index *index, int64_t combination)
{
    int64_t first = index->combination_first[combination];

    return index->combination_first[combination + 1] - first == 1
               ? index->perturbation.symbol[index->combination_member[first]]
               : NULL;
}

static int dosed(const struct tess_vocab *symbols, const char *symbol, struct tess_dosed *out)
{
    double middle;
    int kind;

    *out = (struct tess_dosed){.x = 0};
    if (!symbol || !tess_dose_read(symbol, &out->dose)) {
        out->dose.amount = 0;
        return 0;
    }
    tess_dose_middle(symbols, symbol, out->dose.length, &middle, &kind);
    out->x = log10(out->dose.amount) - middle;
    return kind == out->dose.kind;
}

/* Combinations of one drug in a ring, by their names. */
static int64_t link_drugs(struct tess_doses *doses, const struct tess_index *index)
{
    struct tess_intern drugs = {0};
    int64_t *last = TESS_NEW(int64_t, index->n_combinations), n = 0;

    for (int64_t p = 0; p < index->n_combinations; p++) {
        const char *symbol = symbol_of(index, p);
        int64_t before = drugs.n, drug;

        doses->next[p] = p;
        if (!dosed(&index->perturbation, symbol, &doses->of[p]))
            continue;
        n++;
        drug = tess_intern_add(&drugs, symbol, doses->of[p].dose.length);
        if (drug < before) {
            doses->next[p] = doses->next[last[drug]];
            doses->next[last[drug]] = p;
        }
        last[drug] = p;
    }
    tess_intern_release(&drugs);
    tess_free(last);
    return n;
}

static int same_time(double a, double b)
{
    return fabs(a - b) <= SAME_TIME * (a + b);
}

/* The training unit of a combination in a context, or -1. */
static int64_t unit_of(const struct tess_doses *doses, int64_t context, int64_t combination)
{
    return tess_profiles_find(doses->profiles, context, combination, TESS_TRAIN);
}

/* The trained combinations next to `like` (one of the drug) at this time, below x and above it; -1:
 * there is none. What is at x itself does not count. */
static void find_next(const struct tess_doses *doses, int64_t context, int64_t like,
                      const struct tess_dosed *at, int64_t next[2])
{
    int64_t p = like;

    next[0] = next[1] = -1;
    do {
        const struct tess_dosed *of = &doses->of[p];
        int above = of->x > at->x;

        if (of->dose.amount > 0 && of->x != at->x && same_time(of->dose.hours, at->dose.hours) &&
            unit_of(doses, context, p) >= 0 &&
            (next[above] < 0 ||
             (above ? of->x < doses->of[next[1]].x : of->x > doses->of[next[0]].x)))
            next[above] = p;
        p = doses->next[p];
    } while (p != like);
}

/* ---- learning ---- */

enum { N, X, XX, Y, XY, SUMS }; /* over the units with a value of a readout of a context */
enum { LOW, HIGH, BOTH, DECADES, PAIRS, PAIR_SUMS }; /* over neighbouring doses of a drug */

struct learner {
    const struct tess_learn *learn;
    struct tess_doses *doses;
    int64_t base;
    double *out;
};

static int add_lines(void *closure, const struct tess_profile_rows *rows, struct tess_error *error)
{
    struct learner *learner = closure;
    const struct tess_profiles *profiles = learner->learn->profiles;
    int64_t n = tess_profiles_width(profiles, rows->context);
    double *sums = learner->out + (profiles->readout_first[rows->context] * SUMS - learner->base);

    for (int64_t k = 0; k < rows->n; k++) {
        const struct tess_dosed *of = &learner->doses->of[profiles->combination[rows->unit[k]]];
        const float *y = rows->value + k * n;

        for (int64_t i = 0; of->dose.amount > 0 && i < n; i++) {
            const double term[SUMS] = {1, of->x, of->x * of->x, (double)y[i], of->x * (double)y[i]};

            for (int s = 0; s < SUMS && !isnan(y[i]); s++)
                sums[i * SUMS + s] += term[s];
        }
    }
    if (learner->learn->stopped && learner->learn->stopped())
        tess_error_set(error, TESS_EINTERRUPTED, "stopped by a signal");
    return error->code;
}

static void place_lines(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    const struct tess_profiles *profiles = ((const struct learner *)closure)->learn->profiles;
    int64_t begin = tess_profiles_part(profiles, part),
            end = tess_profiles_part(profiles, part + 1);

    *first = *n = 0;
    if (begin < end) {
        *first = profiles->readout_first[profiles->context_of[begin]] * SUMS;
        *n = profiles->readout_first[profiles->context_of[end - 1] + 1] * SUMS - *first;
    }
}

static int sum_lines(void *closure, int64_t part, double *out, struct tess_error *error)
{
    struct learner learner = *(const struct learner *)closure;
    int64_t n;

    place_lines(&learner, part, &learner.base, &n);
    learner.out = out;
    return tess_profiles_scan(learner.learn->profiles, part,
                              &(struct tess_profile_visitor){&learner, 0, add_lines}, error);
}

/* Level and slope by least squares; a slope needs two doses. */
static void fit_lines(struct tess_doses *doses, int64_t n, const double *sums)
{
    for (int64_t i = 0; i < n; i++) {
        const double *s = sums + i * SUMS;
        double spread = s[N] > 0 ? s[XX] - s[X] * s[X] / s[N] : 0;

        doses->slope[i] = spread > 1e-9 * (1 + s[XX]) ? (s[XY] - s[X] * s[Y] / s[N]) / spread : 0;
        doses->level[i] = s[N] > 0 ? (s[Y] - doses->slope[i] * s[X]) / s[N] : NAN;
    }
}

static double expected(const struct tess_doses *doses, int64_t context, int64_t i, double x)
{
    int64_t at = doses->profiles->readout_first[context] + i;

    return doses->level[at] + doses->slope[at] * x;
}

/* The pairs whose lower dose is a unit of the part. */
static int sum_pairs(void *closure, int64_t part, double *out, struct tess_error *error)
{
    const struct learner *learner = closure;
    const struct tess_doses *doses = learner->doses;
    struct tess_profiles *profiles = learner->learn->profiles;
    int64_t readouts = profiles->store->index.readout.n,
            end = tess_profiles_part(profiles, part + 1);
    float *room[2] = {TESS_NEW(float, readouts), TESS_NEW(float, readouts)};

    for (int64_t u = tess_profiles_part(profiles, part); u < end && error->code == TESS_OK; u++) {
        int64_t p = profiles->combination[u], c = profiles->context_of[u], next[2];
        const struct tess_dosed *low = &doses->of[p];
        const float *y[2];

        if (profiles->split[u] != TESS_TRAIN || !(low->dose.amount > 0))
            continue;
        find_next(doses, c, p, low, next);
        if (next[1] < 0 || doses->of[next[1]].x - low->x < APART)
            continue;
        y[0] = tess_profiles_row(profiles, u, room[0], error);
        y[1] =
            y[0] ? tess_profiles_row(profiles, unit_of(doses, c, next[1]), room[1], error) : NULL;
        for (int64_t i = 0; y[1] && i < tess_profiles_width(profiles, c); i++) {
            double a = (double)y[0][i] - expected(doses, c, i, low->x);
            double b = (double)y[1][i] - expected(doses, c, i, doses->of[next[1]].x);

            if (isnan(a) || isnan(b))
                continue;
            out[LOW] += a * a;
            out[HIGH] += b * b;
            out[BOTH] += a * b;
        }
        out[DECADES] += doses->of[next[1]].x - low->x;
        out[PAIRS] += 1;
    }
    tess_free(room[0]);
    tess_free(room[1]);
    return error->code;
}

static void place_pairs(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    (void)closure;
    (void)part;
    *first = 0;
    *n = PAIR_SUMS;
}

/* Without pairs nothing says how a drug's doses hang together: as its nearest one. */
static void fit_pairs(struct tess_doses *doses, const double *sums)
{
    double decades = sums[PAIRS] > 0 ? sums[DECADES] / sums[PAIRS] : 0;
    double r = sums[LOW] > 0 && sums[HIGH] > 0 ? sums[BOTH] / sqrt(sums[LOW] * sums[HIGH]) : NAN;

    doses->growth = 0;
    doses->kept = MOST_KEPT;
    if (isnan(r) || !(decades > 0))
        return;
    doses->growth = fmin(fmax(log(sums[HIGH] / sums[LOW]) / (2 * decades), -STEEPEST), STEEPEST);
    doses->kept = fmin(fmax(pow(fmax(r, 0), 1 / decades), LEAST_KEPT), MOST_KEPT);
}

struct tess_doses *tess_doses_init(const struct tess_learn *learn, struct tess_error *error)
{
    struct tess_profiles *profiles = learn->profiles;
    const struct tess_index *index = &profiles->store->index;
    int64_t n = profiles->readout_first[profiles->n_contexts];
    struct tess_doses *doses = TESS_NEW(struct tess_doses, 1);
    struct learner learner = {.learn = learn, .doses = doses};
    struct tess_parts lines = {learn->comm, tess_profiles_n_parts(profiles), &learner, place_lines,
                               sum_lines},
                      pairs = {lines.comm, lines.n, &learner, place_pairs, sum_pairs};
    double between[PAIR_SUMS] = {0}, *sums;

    *doses = (struct tess_doses){.profiles = profiles};
    doses->of = TESS_NEW(struct tess_dosed, index->n_combinations);
    doses->next = TESS_NEW(int64_t, index->n_combinations);
    if (link_drugs(doses, index) == 0) {
        tess_doses_release(doses);
        return NULL;
    }
    doses->level = TESS_NEW(double, n);
    doses->slope = TESS_NEW(double, n);
    sums = TESS_NEW(double, n *SUMS);
    if (tess_parts_sum(&lines, n * SUMS, sums, error) == TESS_OK) {
        fit_lines(doses, n, sums);
        if (tess_parts_sum(&pairs, PAIR_SUMS, between, error) == TESS_OK)
            fit_pairs(doses, between);
    }
    tess_free(sums);
    return doses;
}

double tess_doses_bytes(const struct tess_profiles *profiles)
{
    const struct tess_index *index = &profiles->store->index;
    double panels = (double)profiles->readout_first[profiles->n_contexts];
    struct tess_dose dose;
    int any = 0;

    for (int64_t i = 0; i < index->perturbation.n && !any; i++)
        any = tess_dose_read(index->perturbation.symbol[i], &dose);
    return any ? (double)index->n_combinations * (sizeof(struct tess_dosed) + 2 * sizeof(int64_t)) +
                     panels * (SUMS + 2) * sizeof(double)
               : 0;
}

void tess_doses_release(struct tess_doses *doses)
{
    if (!doses)
        return;
    tess_free(doses->of);
    tess_free(doses->next);
    tess_free(doses->level);
    tess_free(doses->slope);
    tess_free(doses);
}

/* ---- predicting ---- */

/* How two doses' deviations go together. */
static double covariance(const struct tess_doses *doses, double x, double y)
{
    return exp(doses->growth * (x + y)) * pow(doses->kept, fabs(x - y));
}

/* What the doses below and above count; those that are not there nothing. */
static void weigh(const struct tess_doses *doses, double x, const int64_t next[2], double weight[2])
{
    double to[2], own[2], both, det;

    weight[0] = weight[1] = 0;
    for (int k = 0; k < 2; k++) {
        double y = next[k] < 0 ? 0 : doses->of[next[k]].x;

        to[k] = covariance(doses, x, y);
        own[k] = covariance(doses, y, y);
        if (next[k] >= 0)
            weight[k] = to[k] / own[k];
    }
    if (next[0] < 0 || next[1] < 0)
        return;
    both = covariance(doses, doses->of[next[0]].x, doses->of[next[1]].x);
    det = own[0] * own[1] - both * both;
    weight[0] = (to[0] * own[1] - to[1] * both) / det;
    weight[1] = (to[1] * own[0] - to[0] * both) / det;
}

/* A dose at a time at which its drug has others (`like` is one of them), and what it counts. */
struct asked {
    int64_t like;
    struct tess_dosed at;
    double share;
};

static void add_time(const struct tess_doses *doses, const struct tess_dose_query *query,
                     const struct asked *asked, double *out, struct tess_error *error)
{
    const struct tess_dosed *at = &asked->at;
    double share = asked->share;
    struct tess_profiles *profiles = doses->profiles;
    int64_t n = tess_profiles_width(profiles, query->context), next[2];
    double weight[2];

    find_next(doses, query->context, asked->like, at, next);
    weigh(doses, at->x, next, weight);
    for (int64_t i = 0; i < n; i++)
        out[i] += share * expected(doses, query->context, i, at->x);
    for (int k = 0; k < 2 && error->code == TESS_OK; k++) {
        double x = next[k] < 0 ? 0 : doses->of[next[k]].x;
        const float *y;

        if (next[k] < 0)
            continue;
        y = tess_profiles_row(profiles, unit_of(doses, query->context, next[k]), query->room,
                              error);
        for (int64_t i = 0; y && i < n; i++) {
            double deviation = (double)y[i] - expected(doses, query->context, i, x);

            out[i] += isnan(deviation) ? 0 : share * weight[k] * deviation;
        }
    }
}

/* The times at which the drug has other doses in the context, next to the one that is asked for:
 * not after it, and after it; 0: none. (A dose without a time has the time 0.) */
static int find_times(const struct tess_doses *doses, int64_t context, int64_t like,
                      const struct tess_dosed *at, double time[2])
{
    int64_t p = like;
    int found[2] = {0, 0};

    do {
        const struct tess_dosed *of = &doses->of[p];
        double hours = of->dose.hours;
        int exact = same_time(hours, at->dose.hours), after = !exact && hours > at->dose.hours;

        if (of->dose.amount > 0 && unit_of(doses, context, p) >= 0 && !(exact && of->x == at->x)) {
            int nearer = after ? hours < time[1] : hours > time[0];

            if (!found[after] || nearer)
                time[after] = hours;
            found[after] = 1;
        }
        p = doses->next[p];
    } while (p != like);
    if (found[0] && (same_time(time[0], at->dose.hours) || !found[1]))
        return 1;
    if (found[1] && !found[0])
        time[0] = time[1];
    return found[0] + found[1];
}

/* A combination of the same drug, or -1. */
static int64_t find_drug(const struct tess_doses *doses, const char *symbol, size_t length)
{
    const struct tess_index *index = &doses->profiles->store->index;

    for (int64_t p = 0; p < index->n_combinations; p++)
        if (doses->of[p].dose.amount > 0 && doses->of[p].dose.length == length &&
            strncmp(symbol_of(index, p), symbol, length) == 0)
            return p;
    return -1;
}

int tess_doses_predict(const struct tess_doses *doses, const struct tess_dose_query *query,
                       double *out, struct tess_error *error)
{
    const struct tess_index *index = &doses->profiles->store->index;
    int64_t n = tess_profiles_width(doses->profiles, query->context), like = query->combination;
    struct tess_dosed at;
    double time[2], share = 1;
    int times;

    if (!dosed(&index->perturbation, like < 0 ? query->symbol : symbol_of(index, like), &at))
        return 0;
    if (like < 0)
        like = find_drug(doses, query->symbol, at.dose.length);
    if (like < 0 || (times = find_times(doses, query->context, like, &at, time)) == 0)
        return 0;
    memset(out, 0, (size_t)n * sizeof *out);
    if (times == 2 && time[0] > 0)
        share = log(time[1] / at.dose.hours) / log(time[1] / time[0]);
    for (int k = 0; k < times && error->code == TESS_OK; k++) {
        struct asked asked = {like, at, k == 0 ? share : 1 - share};

        asked.at.dose.hours = time[k];
        add_time(doses, query, &asked, out, error);
    }
    return 1;
}
