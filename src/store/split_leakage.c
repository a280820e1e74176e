/* split_leakage.c -- what a split keeps from the model, and what it gives away. */
#include "tessera/split.h"

#include "tessera/alloc.h"
#include "tessera/intern.h"

#include <inttypes.h>
#include <string.h>

/* What a model could not have learnt, or has seen already. */
struct leakage {
    int64_t n_held[2], n_unseen[2]; /* perturbations held out (val, test); never trained on */
    struct tess_strings unseen; /* names of those never trained on */
    /* contexts held-out experiments lie in, without training data but control */
    struct tess_strings untrained;
    struct tess_strings unseen_component; /* combinations, "A+B (B)" */
    struct tess_strings twice; /* "A in c: train and test" */
};

/* What is trained on: combinations, components, contexts (control does not count there). */
struct trained {
    char *combination, *component, *context;
};

static void trained_init(struct trained *trained, const struct tess_index *index,
                         const int8_t *split)
{
    trained->combination = TESS_NEW(char, index->n_combinations);
    trained->component = TESS_NEW(char, index->perturbation.n);
    trained->context = TESS_NEW(char, index->context.n);
    for (int64_t i = 0; i < index->n_experiments; i++) {
        int64_t c = index->combination[i];

        if (split[i] != TESS_TRAIN)
            continue;
        trained->combination[c] = 1;
        for (int64_t k = index->combination_first[c]; k < index->combination_first[c + 1]; k++)
            trained->component[index->combination_member[k]] = 1;
        if (!tess_index_is_control(index, c))
            trained->context[index->context_of[i]] = 1;
    }
}

static void trained_release(struct trained *trained)
{
    tess_free(trained->combination);
    tess_free(trained->component);
    tess_free(trained->context);
}

static void add_name(struct tess_strings *names, char *name)
{
    tess_strings_add(names, name);
    tess_free(name);
}

/* A combination with components that no training experiment has: "A+B (B)". */
static void add_components(struct leakage *leakage, const struct tess_index *index,
                           const struct trained *trained, int64_t c)
{
    struct tess_strings part = {0};
    char *name, *list;

    for (int64_t k = index->combination_first[c]; k < index->combination_first[c + 1]; k++)
        if (!trained->component[index->combination_member[k]])
            tess_strings_add(&part, index->perturbation.symbol[index->combination_member[k]]);
    if (part.n && index->combination_first[c + 1] - index->combination_first[c] > 1) {
        name = tess_index_combination_name(index, c);
        list = tess_strings_join(&part, ", ", 8);
        add_name(&leakage->unseen_component, tess_format("%s (%s)", name, list));
        tess_free(name);
        tess_free(list);
    }
    tess_strings_release(&part);
}

/* A perturbation that training sees in another context is no leak and not unseen: that is what a
 * model carries over. Combinations are looked at as a whole, and then by components. */
static void find_unseen(struct leakage *leakage, const struct tess_index *index,
                        const int8_t *split)
{
    char *held[2] = {TESS_NEW(char, index->n_combinations), TESS_NEW(char, index->n_combinations)};
    char *context = TESS_NEW(char, index->context.n);
    struct trained trained;

    trained_init(&trained, index, split);
    for (int64_t i = 0; i < index->n_experiments; i++)
        if (split[i] == TESS_VAL || split[i] == TESS_TEST) {
            held[split[i] == TESS_TEST][index->combination[i]] = 1;
            context[index->context_of[i]] = 1;
        }
    for (int64_t c = 0; c < index->n_combinations; c++) {
        for (int k = 0; k < 2; k++) {
            leakage->n_held[k] += held[k][c];
            leakage->n_unseen[k] += held[k][c] && !trained.combination[c];
        }
        if ((held[0][c] || held[1][c]) && !trained.combination[c]) {
            add_name(&leakage->unseen, tess_index_combination_name(index, c));
            add_components(leakage, index, &trained, c);
        }
    }
    for (int64_t c = 0; c < index->context.n; c++)
        if (context[c] && !trained.context[c])
            tess_strings_add(&leakage->untrained, index->context.symbol[c]);
    trained_release(&trained);
    tess_free(held[0]);
    tess_free(held[1]);
    tess_free(context);
}

/* A pair is numbered by its bytes; what is unused can give nothing away. */
static void find_twice(struct leakage *leakage, const struct tess_index *index, const int8_t *split)
{
    struct tess_intern pairs = {0};
    int8_t *first = (int8_t *)tess_alloc((size_t)index->n_experiments, 1);
    char *told = TESS_NEW(char, index->n_experiments);

    for (int64_t i = 0; i < index->n_experiments; i++) {
        int64_t key[2] = {index->combination[i], index->context_of[i]}, before = pairs.n;
        int64_t number;
        char *name;

        if (split[i] == TESS_UNUSED)
            continue;
        number = tess_intern_add(&pairs, (const char *)key, sizeof key);
        if (number == before)
            first[number] = split[i];
        if (first[number] == split[i] || told[number])
            continue;
        told[number] = 1;
        name = tess_index_combination_name(index, key[0]);
        add_name(&leakage->twice,
                 tess_format("%s in %s: %s and %s", name, index->context.symbol[key[1]],
                             tess_split_name(first[number]), tess_split_name(split[i])));
        tess_free(name);
    }
    tess_free(first);
    tess_free(told);
    tess_intern_release(&pairs);
}

static void leakage_init(struct leakage *leakage, const struct tess_index *index,
                         const int8_t *split)
{
    *leakage = (struct leakage){0};
    find_unseen(leakage, index, split);
    find_twice(leakage, index, split);
}

static void leakage_release(struct leakage *leakage)
{
    tess_strings_release(&leakage->unseen);
    tess_strings_release(&leakage->untrained);
    tess_strings_release(&leakage->unseen_component);
    tess_strings_release(&leakage->twice);
    *leakage = (struct leakage){0};
}

/* n: experiments, replicates, distinct perturbations, distinct contexts, observations. */
static void print_counts(const struct tess_index *index, const int8_t *split, FILE *out)
{
    fprintf(out, "%-8s%12s%12s%15s%10s%15s\n", "split", "experiments", "replicates",
            "perturbations", "contexts", "observations");
    for (int s = 0; s < 4; s++) {
        char *combination = TESS_NEW(char, index->n_combinations);
        char *context = TESS_NEW(char, index->context.n);
        int64_t n[5] = {0};

        for (int64_t i = 0; i < index->n_experiments; i++) {
            if (split[i] != s)
                continue;
            n[0]++;
            n[1] += index->n_replicates[i];
            n[2] += !combination[index->combination[i]];
            n[3] += !context[index->context_of[i]];
            n[4] += index->n_observed[i];
            combination[index->combination[i]] = context[index->context_of[i]] = 1;
        }
        if (n[0] || s != TESS_UNUSED)
            fprintf(out, "%-8s%12" PRId64 "%12" PRId64 "%15" PRId64 "%10" PRId64 "%15" PRId64 "\n",
                    tess_split_name(s), n[0], n[1], n[2], n[3], n[4]);
        tess_free(combination);
        tess_free(context);
    }
}

static void print_finding(FILE *out, const struct tess_strings *names, const char *what)
{
    char *list = tess_strings_join(names, ", ", 10);

    fprintf(out, "  %-62s %zu%s%s\n", what, names->n, names->n ? ": " : "", list);
    tess_free(list);
}

void tess_split_print(const struct tess_index *index, const int8_t *split, FILE *out)
{
    struct leakage leakage;

    leakage_init(&leakage, index, split);
    print_counts(index, split, out);
    fprintf(out, "leakage report\n");
    print_finding(out, &leakage.unseen, "held-out perturbations that training never sees");
    for (int k = 0; k < 2; k++)
        if (leakage.n_unseen[k])
            fprintf(out, "    %" PRId64 " of the %" PRId64 " in %s\n", leakage.n_unseen[k],
                    leakage.n_held[k], k ? "test" : "val");
    print_finding(out, &leakage.unseen_component,
                  "held-out combinations with components that training never sees");
    print_finding(out, &leakage.untrained, "contexts held out from without training data");
    print_finding(out, &leakage.twice, "the same perturbation and context in two splits");
    leakage_release(&leakage);
}
