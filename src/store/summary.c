/* summary.c -- counting a store. */
#include "tessera/summary.h"

#include "tessera/alloc.h"
#include "tessera/tuples.h"

#include <stdlib.h>
#include <string.h>

#define NAMES 10 /* perturbations seen in one context, by name */

/* Contexts of every combination (0, 1, many = 2), and which contexts have control. */
static void count_contexts(struct tess_summary *summary, const struct tess_index *index)
{
    int64_t *seen = TESS_NEW(int64_t, index->n_combinations);
    char *many = TESS_NEW(char, index->n_combinations), *control = TESS_NEW(char, index->context.n);

    for (int64_t i = 0; i < index->n_experiments; i++) {
        int64_t c = index->combination[i], context = index->context_of[i];

        if (tess_index_is_control(index, c))
            control[context] = 1;
        many[c] |= seen[c] > 0 && seen[c] != context + 1;
        seen[c] = context + 1;
    }
    for (int64_t c = 0; c < index->n_combinations; c++) {
        char *name;

        if (!seen[c] || many[c] || tess_index_is_control(index, c))
            continue;
        if (summary->n_one_context++ < NAMES) {
            name = tess_index_combination_name(index, c);
            tess_strings_add(&summary->one_context, name);
            tess_free(name);
        }
    }
    for (int64_t c = 0; c < index->context.n; c++)
        if (!control[c])
            tess_strings_add(&summary->no_control, index->context.symbol[c]);
    tess_free(seen);
    tess_free(many);
    tess_free(control);
}

/* Import numbers with int32_t, and so do these keys: 12 bytes for each experiment. */
static void count_experiments(struct tess_summary *summary, const struct tess_index *index)
{
    struct tess_tuples keys;

    tess_tuples_init(&keys, 3);
    for (int64_t i = 0; i < index->n_experiments; i++) {
        int32_t key[3] = {(int32_t)index->combination[i], (int32_t)index->context_of[i],
                          index->split[i]};
        int64_t before = keys.n;

        if (tess_tuples_add(&keys, key) < before)
            summary->n_duplicates++;
        summary->n_split[index->split[i]]++;
        summary->n_observations += index->n_observed[i];
        summary->n_replicates += index->n_replicates[i];
        summary->n_replicated += index->n_replicates[i] > 1;
    }
    summary->n_missing = index->value_first[index->n_experiments] - summary->n_observations;
    tess_tuples_release(&keys);
}

void tess_summary_init(struct tess_summary *summary, const struct tess_index *index)
{
    *summary = (struct tess_summary){
        .n_components = index->perturbation.n,
        .n_combinations = index->n_combinations,
        .n_readouts = index->readout.n,
        .n_contexts = index->context.n,
        .n_panels = index->n_panels,
        .n_experiments = index->n_experiments,
        .n_folds = index->fold_first[index->n_experiments],
    };
    for (int64_t c = 0; c < index->n_combinations; c++)
        summary->n_multiple += index->combination_first[c + 1] - index->combination_first[c] > 1;
    count_contexts(summary, index);
    count_experiments(summary, index);
    summary->has_weights = index->weight && index->n_experiments > 0;
    for (int64_t i = 0; i < index->n_experiments && summary->has_weights; i++) {
        double w = index->weight[i];

        summary->weight[0] = i == 0 || w < summary->weight[0] ? w : summary->weight[0];
        summary->weight[1] = i == 0 || w > summary->weight[1] ? w : summary->weight[1];
    }
}

void tess_summary_release(struct tess_summary *summary)
{
    tess_strings_release(&summary->one_context);
    tess_strings_release(&summary->no_control);
    *summary = (struct tess_summary){0};
}

static void print_count(FILE *out, const char *what, int64_t n)
{
    fprintf(out, "%-15s %lld", what, (long long)n);
}

static void print_list(FILE *out, const char *what, int64_t n, const struct tess_strings *names)
{
    char *list = tess_strings_join(names, ", ", NAMES);

    if (n) {
        print_count(out, what, n);
        fprintf(out, ": %s%s\n", list, n > (int64_t)names->n ? ", …" : "");
    }
    tess_free(list);
}

void tess_summary_print(const struct tess_summary *summary, FILE *out)
{
    const struct tess_summary *s = summary;

    print_count(out, "perturbations", s->n_combinations);
    if (s->n_multiple)
        fprintf(out, " (%lld of several components; %lld components)", (long long)s->n_multiple,
                (long long)s->n_components);
    fputc('\n', out);
    print_count(out, "readouts", s->n_readouts);
    fprintf(out, " in %lld panel%s\n", (long long)s->n_panels, s->n_panels == 1 ? "" : "s");
    print_count(out, "contexts", s->n_contexts);
    fputc('\n', out);
    print_count(out, "experiments", s->n_experiments);
    fprintf(out, " of %lld replicates; %lld experiments have several, kept in %lld folds\n",
            (long long)s->n_replicates, (long long)s->n_replicated, (long long)s->n_folds);
    if (s->has_weights)
        fprintf(out, "%-15s %.4g to %.4g (data.weight: column)\n", "weights", s->weight[0],
                s->weight[1]);
    print_count(out, "observations", s->n_observations);
    fprintf(out, ", %lld missing\n", (long long)s->n_missing);
    print_count(out, "split", s->n_split[TESS_TRAIN]);
    fprintf(out, " train, %lld val, %lld test, %lld unused (experiments)\n",
            (long long)s->n_split[TESS_VAL], (long long)s->n_split[TESS_TEST],
            (long long)s->n_split[TESS_UNUSED]);
    if (s->n_duplicates) {
        print_count(out, "repeated", s->n_duplicates);
        fputs(" experiments of a perturbation, context and split that another one has, too\n", out);
    }
    print_list(out, "in one context", s->n_one_context, &s->one_context);
    print_list(out, "no control in", (int64_t)s->no_control.n, &s->no_control);
}

static json_t *names_json(const struct tess_strings *names)
{
    json_t *list = json_array();

    for (size_t i = 0; i < names->n; i++)
        json_array_append_new(list, json_string(names->item[i]));
    return list;
}

json_t *tess_summary_json(const struct tess_summary *summary)
{
    const struct tess_summary *s = summary;
    json_t *split = json_object(), *all;

    for (int i = 0; i < 4; i++)
        json_object_set_new(split, tess_split_name(i), json_integer(s->n_split[i]));
    all = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                    "perturbations", (json_int_t)s->n_combinations, "components",
                    (json_int_t)s->n_components, "combinations_of_several",
                    (json_int_t)s->n_multiple, "readouts", (json_int_t)s->n_readouts, "contexts",
                    (json_int_t)s->n_contexts, "panels", (json_int_t)s->n_panels, "experiments",
                    (json_int_t)s->n_experiments, "replicates", (json_int_t)s->n_replicates,
                    "folds", (json_int_t)s->n_folds, "observations", (json_int_t)s->n_observations,
                    "missing", (json_int_t)s->n_missing, "repeated", (json_int_t)s->n_duplicates,
                    "in_one_context", (json_int_t)s->n_one_context);
    json_object_set_new(all, "split", split);
    if (s->has_weights)
        json_object_set_new(all, "weights", json_pack("[f, f]", s->weight[0], s->weight[1]));
    json_object_set_new(all, "contexts_without_control", names_json(&s->no_control));
    return all;
}
