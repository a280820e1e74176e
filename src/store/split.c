/* split.c -- drawing a split. What is permuted starts in the index's own order, which is that of
 * the names; target contexts draw from streams of their own. */
#include "tessera/split.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/random.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

/* The contexts of every combination, and of every experiment's pair. */
struct pairs {
    int64_t n, n_contexts;
    int64_t *combination, *context; /* (n) not control, in order of (context, combination) */
    int64_t *n_of; /* (n_combinations) contexts that measure it */
};

static void pairs_init(struct pairs *pairs, const struct tess_index *index)
{
    int64_t cells = index->n_combinations, *last = TESS_NEW(int64_t, cells);

    *pairs = (struct pairs){.n_contexts = index->context.n};
    pairs->combination = TESS_NEW(int64_t, index->n_experiments);
    pairs->context = TESS_NEW(int64_t, index->n_experiments);
    pairs->n_of = TESS_NEW(int64_t, cells);
    for (int64_t begin = 0, end = 0; begin < index->n_experiments; begin = end) {
        int64_t context = index->context_of[begin];

        for (; end < index->n_experiments && index->context_of[end] == context; end++)
            last[index->combination[end]] = context + 1;
        for (int64_t c = 0; c < cells; c++) /* panels may have broken their order */
            if (last[c] == context + 1 && !tess_index_is_control(index, c)) {
                pairs->combination[pairs->n] = c;
                pairs->context[pairs->n++] = context;
                pairs->n_of[c]++;
            }
    }
    tess_free(last);
}

static void pairs_release(struct pairs *pairs)
{
    tess_free(pairs->combination);
    tess_free(pairs->context);
    tess_free(pairs->n_of);
}

static struct tess_random stream_of(const struct tess_split_options *options, const char *name)
{
    return tess_random_stream((uint64_t)options->seed, TESS_RANDOM_SPLIT,
                              XXH3_64bits_withSeed(name, strlen(name), (uint64_t)options->rule));
}

static void permute(struct tess_random stream, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    tess_random_permute(stream, n, order);
}

static int64_t share_of(double share, int64_t n)
{
    return (int64_t)llround(share * (double)n);
}

/* Marks the contexts that match a name or pattern; each must match some. */
static int mark_contexts(const struct tess_index *index, const struct tess_strings *names,
                         char *mark, struct tess_error *error)
{
    struct tess_strings unknown = {0};

    for (size_t i = 0; i < names->n; i++) {
        int found = 0;

        for (int64_t c = 0; c < index->context.n; c++)
            if (strcmp(names->item[i], index->context.symbol[c]) == 0 ||
                tess_text_match(names->item[i], index->context.symbol[c]))
                found = mark[c] = 1;
        if (!found)
            tess_strings_add(&unknown, names->item[i]);
    }
    if (unknown.n)
        tess_vocab_refuse(&index->context, &unknown, "context", "the store", error);
    tess_strings_release(&unknown);
    return error->code;
}

/* pair_split (pairs.n) out. The protocol of the Large Perturbation Model's paper: of the
 * perturbations of a target context that contexts which are no targets measure, too, a share is
 * test and a share is val; everything else is trained on. */
static int draw_target(const struct tess_index *index, const struct tess_split_options *options,
                       const struct pairs *pairs, int8_t *pair_split, struct tess_error *error)
{
    char *target = TESS_NEW(char, index->context.n);
    int64_t *elsewhere = TESS_NEW(int64_t, index->n_combinations), held = 0;
    int64_t *order = TESS_NEW(int64_t, pairs->n), *candidate = TESS_NEW(int64_t, pairs->n);

    mark_contexts(index, &options->target, target, error);
    for (int64_t i = 0; i < pairs->n; i++)
        elsewhere[pairs->combination[i]] += !target[pairs->context[i]];
    for (int64_t i = 0, end = 0; i < pairs->n && error->code == TESS_OK; i = end) {
        int64_t context = pairs->context[i], n = 0, n_test, n_val;

        for (; end < pairs->n && pairs->context[end] == context; end++)
            if (target[context] && elsewhere[pairs->combination[end]])
                candidate[n++] = end;
        n_test = share_of(options->test, n);
        n_val = share_of(options->val, n);
        permute(stream_of(options, index->context.symbol[context]), n, order);
        for (int64_t k = 0; k < n_test + n_val && k < n; k++)
            pair_split[candidate[order[k]]] = k < n_test ? TESS_TEST : TESS_VAL;
        held += n_test + n_val;
    }
    if (error->code == TESS_OK && held == 0)
        tess_error_set(error, TESS_EDATA,
                       "nothing to hold out: the target contexts share too few perturbations with "
                       "the others; name fewer targets, or use --random");
    tess_free(target);
    tess_free(elsewhere);
    tess_free(order);
    tess_free(candidate);
    return error->code;
}

/* Pairs in random order, test first; one is passed over if its perturbation would be left with
 * fewer than `keep` contexts to train on. */
static int draw_random(const struct tess_index *index, const struct tess_split_options *options,
                       const struct pairs *pairs, int8_t *pair_split, struct tess_error *error)
{
    int64_t *order = TESS_NEW(int64_t, pairs->n),
            *trained = TESS_NEW(int64_t, index->n_combinations);
    int64_t n_test = share_of(options->test, pairs->n), n_val = share_of(options->val, pairs->n);
    int64_t held = 0;

    memcpy(trained, pairs->n_of, (size_t)index->n_combinations * sizeof *trained);
    permute(stream_of(options, ""), pairs->n, order);
    for (int64_t k = 0; k < pairs->n && held < n_test + n_val; k++) {
        int64_t pair = order[k], c = pairs->combination[pair];

        if (trained[c] - 1 < options->keep)
            continue;
        trained[c]--;
        pair_split[pair] = held++ < n_test ? TESS_TEST : TESS_VAL;
    }
    if (held == 0)
        tess_error_set(error, TESS_EDATA,
                       "nothing to hold out: no perturbation has more than --keep %" PRId64
                       " contexts",
                       options->keep);
    else if (held < n_test + n_val) {
        int64_t test =
            (int64_t)llround((double)held * options->test / (options->test + options->val));

        for (int64_t k = 0, seen = 0; k < pairs->n; k++) /* less than asked for: share it fairly */
            if (pair_split[order[k]] != TESS_TRAIN)
                pair_split[order[k]] = seen++ < test ? TESS_TEST : TESS_VAL;
        tess_warn("only %" PRId64 " of %" PRId64
                  " pairs could be held out: every perturbation keeps "
                  "%" PRId64 " context(s) in training (--keep)",
                  held, n_test + n_val, options->keep);
    }
    tess_free(order);
    tess_free(trained);
    return error->code;
}

/* A share above 0 gives at least one context, however few there are. Control is no pair: it stays
 * in training in held-out contexts, too (spread). */
static int draw_contexts(const struct tess_index *index, const struct tess_split_options *options,
                         const struct pairs *pairs, int8_t *pair_split, struct tess_error *error)
{
    int64_t n = index->context.n, *order = TESS_NEW(int64_t, n), held = 0;
    char *val = TESS_NEW(char, n), *test = TESS_NEW(char, n);

    mark_contexts(index, &options->val_names, val, error);
    mark_contexts(index, &options->test_names, test, error);
    if (options->val_names.n + options->test_names.n == 0) {
        int64_t n_test = share_of(options->test, n), n_val = share_of(options->val, n);

        n_test = n_test == 0 && options->test > 0 ? 1 : n_test;
        n_val = n_val == 0 && options->val > 0 ? 1 : n_val;
        permute(stream_of(options, ""), n, order);
        for (int64_t k = 0; k < n_test + n_val && k < n; k++)
            (k < n_test ? test : val)[order[k]] = 1;
    }
    for (int64_t c = 0; c < n && error->code == TESS_OK; c++) {
        held += val[c] || test[c];
        if (val[c] && test[c])
            tess_error_set(error, TESS_EUSAGE,
                           "context '%s' is both in --val-contexts and in "
                           "--test-contexts",
                           index->context.symbol[c]);
    }
    if (error->code == TESS_OK && (held == 0 || held >= n))
        tess_error_set(error, TESS_EDATA,
                       "of %" PRId64 " contexts %" PRId64 " would be held out: nothing to %s", n,
                       held, held ? "train on" : "test");
    for (int64_t i = 0; i < pairs->n; i++)
        pair_split[i] = test[pairs->context[i]]  ? TESS_TEST
                        : val[pairs->context[i]] ? TESS_VAL
                                                 : TESS_TRAIN;
    tess_free(order);
    tess_free(val);
    tess_free(test);
    return error->code;
}

/* Words for people, kept in the store: nothing reads them back, but the split's checksum covers
 * them. */
static void describe(const struct tess_split_options *options, char *method)
{
    struct tess_strings all = {0};
    char *names;

    for (size_t i = 0; i < options->target.n; i++)
        tess_strings_add(&all, options->target.item[i]);
    names = tess_strings_join(&all, ",", 20);
    if (options->rule == TESS_SPLIT_TARGET)
        snprintf(method, TESS_SPLIT_METHOD,
                 "perturbations of %s that other contexts measure; val %g, test %g, seed %" PRId64,
                 names, options->val, options->test, options->seed);
    else if (options->rule == TESS_SPLIT_RANDOM)
        snprintf(method, TESS_SPLIT_METHOD,
                 "random (perturbation, context) pairs; val %g, test %g, keep %" PRId64
                 ", seed %" PRId64,
                 options->val, options->test, options->keep, options->seed);
    else if (options->val_names.n + options->test_names.n)
        snprintf(method, TESS_SPLIT_METHOD, "whole contexts, by name");
    else
        snprintf(method, TESS_SPLIT_METHOD,
                 "whole contexts, at random; val %g, test %g, seed %" PRId64, options->val,
                 options->test, options->seed);
    tess_free(names);
    tess_strings_release(&all);
}

/* Pairs' splits to experiments'. Both are in order of contexts; of[] keeps what earlier contexts
 * left there, but every combination of this one has just been set. */
static void spread(const struct tess_index *index, const struct pairs *pairs,
                   const int8_t *pair_split, int8_t *split)
{
    int8_t *of = (int8_t *)tess_alloc((size_t)index->n_combinations, 1);
    int64_t at = 0;

    for (int64_t i = 0; i < index->n_experiments; i++) {
        if (i == 0 || index->context_of[i] != index->context_of[i - 1])
            for (; at < pairs->n && pairs->context[at] == index->context_of[i]; at++)
                of[pairs->combination[at]] = pair_split[at];
        split[i] = tess_index_is_control(index, index->combination[i]) ? TESS_TRAIN
                                                                       : of[index->combination[i]];
    }
    tess_free(of);
}

int tess_split_draw(const struct tess_index *index, const struct tess_split_options *options,
                    int8_t *split, char *method, struct tess_error *error)
{
    struct pairs pairs;
    int8_t *pair_split;

    pairs_init(&pairs, index);
    pair_split = (int8_t *)tess_alloc((size_t)pairs.n, 1);
    if (options->rule == TESS_SPLIT_TARGET)
        draw_target(index, options, &pairs, pair_split, error);
    else if (options->rule == TESS_SPLIT_RANDOM)
        draw_random(index, options, &pairs, pair_split, error);
    else
        draw_contexts(index, options, &pairs, pair_split, error);
    if (error->code == TESS_OK) {
        spread(index, &pairs, pair_split, split);
        describe(options, method);
    }
    tess_free(pair_split);
    pairs_release(&pairs);
    return error->code;
}
