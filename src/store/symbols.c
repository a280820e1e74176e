/* symbols.c -- the text of a perturbation to a combination of components. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MEMBERS 256

/* The end of the component that begins at `at`: a plus-literal symbol, or up to the next plus. */
static const char *component_end(const struct tess_import_options *options, const char *at)
{
    const char *end = options->plus_literal_all ? NULL : strchr(at, '+');
    size_t longest = 0;

    for (size_t i = 0; i < options->plus_literal.n; i++) {
        size_t n = strlen(options->plus_literal.item[i]);

        if (n > longest && strncmp(at, options->plus_literal.item[i], n) == 0 &&
            (at[n] == '+' || at[n] == '\0'))
            longest = n;
    }
    return longest ? at + longest : end ? end : at + strlen(at);
}

/* Is it the control, by its own name or one that is renamed? */
static int is_control(struct tess_plan *plan, const char *text)
{
    const struct tess_strings *control = &plan->options->control;

    if (tess_strings_find(control, text) >= 0) {
        if (tess_strings_find(&plan->control_seen, text) < 0)
            tess_strings_add(&plan->control_seen, text);
        return 1;
    }
    return strcmp(text, TESS_CONTROL) == 0;
}

static int32_t component(struct tess_plan *plan, const char *text)
{
    const char *prefix = plan->options->prefix;
    char *symbol = is_control(plan, text) ? tess_strdup(TESS_CONTROL)
                                          : tess_format("%s%s", prefix ? prefix : "", text);
    int64_t number = tess_intern_add(&plan->component, symbol, strlen(symbol));

    tess_free(symbol);
    return (int32_t)number;
}

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return x < y ? -1 : x > y;
}

/* Ascending, without repeats, without the control where there is something else. */
static int tidy(const struct tess_plan *plan, int32_t *member, int n)
{
    int64_t control = tess_intern_find(&plan->component, TESS_CONTROL, strlen(TESS_CONTROL));
    int distinct = 0, kept = 0;

    qsort(member, (size_t)n, sizeof *member, compare);
    for (int i = 0; i < n; i++)
        if (distinct == 0 || member[distinct - 1] != member[i])
            member[distinct++] = member[i];
    for (int i = 0; i < distinct; i++)
        if (distinct == 1 || member[i] != control)
            member[kept++] = member[i];
    return kept;
}

static int32_t number_of(struct tess_plan *plan, const int32_t *member, int n)
{
    int64_t before = plan->combination.n, number;

    number = tess_intern_add(&plan->combination, (const char *)member, (size_t)n * sizeof *member);
    if (number == before) {
        plan->n_members = tess_grow(plan->n_members, &plan->room_members, (size_t)before + 1,
                                    sizeof plan->n_members[0]);
        plan->n_members[number] = n;
    }
    return (int32_t)number;
}

/* A copy of [from, end) without blanks around it. */
static char *trimmed(const char *from, const char *end)
{
    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    return tess_format("%.*s", (int)(end - from), from);
}

int32_t tess_plan_combination(struct tess_plan *plan, const char *text, char *reason)
{
    int32_t member[MAX_MEMBERS];
    const char *at = text;
    int n = 0, whole = is_control(plan, text);

    for (int more = 1; more; n++) {
        const char *end = whole ? at + strlen(at) : component_end(plan->options, at);
        char *part = trimmed(at, end);
        int empty = *part == '\0';

        if (!empty && n < MAX_MEMBERS)
            member[n] = component(plan, part);
        tess_free(part);
        if (empty || n == MAX_MEMBERS) {
            snprintf(reason, 256,
                     empty ? "'%.150s' has an empty component; does the plus belong to the symbol "
                             "(--plus-literal)?"
                           : "'%.150s' has too many components",
                     text);
            return -1;
        }
        more = *end == '+';
        at = end + 1;
    }
    return number_of(plan, member, tidy(plan, member, n));
}
