/* plan_combination.c -- the text of a perturbation to a combination of components. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/combination.h"
#include "tessera/store.h"

#include <stdio.h>
#include <string.h>

#define MAX_MEMBERS 256

static const char *separator_of(const struct tess_import_options *options)
{
    return options->separator ? options->separator : "+";
}

/* The longest of the names that stands at `at` and ends there or before a separator. */
static size_t longest_of(const struct tess_strings *name, const char *at, const char *separator)
{
    size_t longest = 0, width = strlen(separator);

    for (size_t i = 0; i < name->n; i++) {
        size_t n = strlen(name->item[i]);

        if (n > longest && strncmp(at, name->item[i], n) == 0 &&
            (strncmp(at + n, separator, width) == 0 || at[n] == '\0'))
            longest = n;
    }
    return longest;
}

/* The end of the component that begins at `at`: a plus-literal symbol or a control, or up to the
 * next separator. */
static const char *component_end(const struct tess_import_options *options, const char *at)
{
    const char *separator = separator_of(options);
    const char *end = options->plus_literal_all ? NULL : strstr(at, separator);
    size_t literal = longest_of(&options->plus_literal, at, separator);
    size_t control = longest_of(&options->control.name, at, separator);

    literal = control > literal ? control : literal;
    return literal ? at + literal : end ? end : at + strlen(at);
}

/* Is it the control, by its own name or one that is renamed? */
static int is_control(struct tess_plan *plan, const char *text)
{
    if (tess_strings_find(&plan->options->control.name, text) >= 0) {
        if (tess_strings_find(&plan->control_seen, text) < 0)
            tess_strings_add(&plan->control_seen, text);
        return 1;
    }
    return strcmp(text, TESS_CONTROL) == 0;
}

static int64_t component(struct tess_plan *plan, const char *text)
{
    const char *prefix = plan->options->prefix;
    char *symbol = is_control(plan, text) ? tess_strdup(TESS_CONTROL)
                                          : tess_format("%s%s", prefix ? prefix : "", text);
    int64_t number = tess_intern_add(&plan->component, symbol, strlen(symbol));

    tess_free(symbol);
    return number;
}

/* The number of a combination of n components in any order; the control counts where it is alone.
 */
static int32_t number_of(struct tess_plan *plan, int64_t n, int64_t *member)
{
    int64_t control = tess_intern_find(&plan->component, TESS_CONTROL, strlen(TESS_CONTROL));

    n = tess_combination_tidy(control, n, member);
    return (int32_t)tess_sets_number(&plan->combination, n, member);
}

/* The components of a text, one after the other. */
struct cursor {
    const char *at;
    int more;
};

/* The next one without blanks around it; own of the caller. */
static char *next_part(const struct tess_import_options *options, struct cursor *cursor)
{
    const char *from = cursor->at, *end = component_end(options, from);

    cursor->more = *end != '\0';
    cursor->at = end + (cursor->more ? strlen(separator_of(options)) : 0);
    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    return tess_format("%.*s", (int)(end - from), from);
}

/* One element of a Python tuple, and the comma and blanks behind it; "" for '', None and nan; NULL
 * if it is none. */
static char *next_element(struct cursor *cursor, char end)
{
    const char *at = cursor->at;
    size_t n = 0, width = strncmp(at, "None", 4) == 0 ? 4 : strncmp(at, "nan", 3) == 0 ? 3 : 0;
    char quote = *at, *out = tess_strdup(at);

    if (width)
        at += width;
    else if (quote == '\'' || quote == '"') {
        for (at++; *at && *at != quote; at++) {
            at += *at == '\\' && at[1];
            out[n++] = *at;
        }
        width = *at == quote;
        at += width;
    }
    if (!width) {
        tess_free(out);
        return NULL;
    }
    out[n] = '\0';
    while (*at == ' ')
        at++;
    cursor->more = *at == ',';
    for (at += *at == ','; *at == ' ';)
        at++;
    cursor->more = cursor->more && *at != end;
    cursor->at = at;
    return out;
}

/* "('A', 'B')" or "['A', 'B']", as Python writes them: its texts, or 0 if it is anything else. */
static int read_tuple(const char *text, struct tess_strings *part)
{
    struct cursor cursor = {text + 1, 1};
    char end = *text == '(' ? ')' : ']', *one;

    if (*text != '(' && *text != '[')
        return 0;
    while (cursor.more && (one = next_element(&cursor, end))) {
        if (*one)
            tess_strings_add(part, one);
        tess_free(one);
    }
    if (!cursor.more && cursor.at[0] == end && cursor.at[1] == '\0' && part->n > 0)
        return 1;
    tess_strings_release(part);
    return 0;
}

/* One component with its dose is no combination, whatever its name holds (plan_dose.c). */
static void read_parts(const struct tess_import_options *options, const char *text,
                       struct tess_strings *part)
{
    struct cursor cursor = {text, 1};

    if (options->source.dose) {
        tess_strings_add(part, text);
        return;
    }
    while (cursor.more) {
        char *one = next_part(options, &cursor);

        tess_strings_add(part, one);
        tess_free(one);
    }
}

/* The whole text first: names of controls may hold separators. Then as a tuple, then in parts. */
int32_t tess_plan_combination(struct tess_plan *plan, const char *text, char *reason)
{
    int64_t member[MAX_MEMBERS];
    int32_t number = -1;
    struct tess_strings part = {0};
    int empty = 0;

    if (is_control(plan, text))
        tess_strings_add(&part, text);
    else if (plan->options->source.dose || !read_tuple(text, &part))
        read_parts(plan->options, text, &part);
    for (size_t i = 0; i < part.n; i++)
        empty |= part.item[i][0] == '\0';
    if (empty)
        snprintf(reason, 256,
                 "'%.150s' has an empty component; does the separator belong to the symbol "
                 "(--plus-literal)?",
                 text);
    else if (part.n > MAX_MEMBERS)
        snprintf(reason, 256, "'%.150s' has too many components", text);
    else {
        for (size_t i = 0; i < part.n; i++)
            member[i] = component(plan, part.item[i]);
        number = number_of(plan, (int64_t)part.n, member);
    }
    tess_strings_release(&part);
    return number;
}

int32_t tess_plan_combine(struct tess_plan *plan, int32_t a, int32_t b)
{
    const struct tess_sets *known = &plan->combination;
    int64_t n_a = known->first[a + 1] - known->first[a];
    int64_t n_b = known->first[b + 1] - known->first[b], *member = TESS_NEW(int64_t, n_a + n_b);
    int32_t number;

    memcpy(member, known->member + known->first[a], (size_t)n_a * sizeof *member);
    memcpy(member + n_a, known->member + known->first[b], (size_t)n_b * sizeof *member);
    number = number_of(plan, n_a + n_b, member);
    tess_free(member);
    return number;
}
