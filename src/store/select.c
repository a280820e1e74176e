/* select.c -- names, patterns and files to sets of numbers. */
#include "tessera/select.h"

#include "tessera/alloc.h"
#include "tessera/combination.h"
#include "tessera/error.h"
#include "tessera/store.h"
#include "tessera/text.h"

#include <string.h>
#include <sys/stat.h>

#define LISTED 10 /* symbols in a sentence */

/* What was found, and what was wrong. */
struct search {
    const struct tess_choice *choice;
    struct tess_sets *sets;
    struct tess_strings unknown, untrained; /* own */
};

static int may_choose(const struct tess_choice *choice, int64_t number)
{
    return number >= choice->vocab->n || !choice->trained || choice->trained[number];
}

static void add_set(struct search *search, int64_t n, const int64_t *member)
{
    int fine = 1;

    for (int64_t i = 0; i < n; i++)
        if (!may_choose(search->choice, member[i])) {
            const char *name = search->choice->vocab->symbol[member[i]];

            fine = 0;
            if (tess_strings_find(&search->untrained, name) < 0)
                tess_strings_add(&search->untrained, name);
        }
    if (fine)
        tess_sets_add(search->sets, n, member);
}

static int64_t add_matches(struct search *search, const char *pattern)
{
    const struct tess_choice *choice = search->choice;
    int64_t found = 0;

    for (int64_t i = 0; i < choice->vocab->n; i++)
        if (may_choose(choice, i) &&
            (!pattern || tess_text_match(pattern, choice->vocab->symbol[i]))) {
            tess_sets_add(search->sets, 1, &i);
            found++;
        }
    return found;
}

/* A symbol as it stands, or without the blanks around it; -1. */
static int64_t find_symbol(const struct tess_vocab *vocab, const char *text)
{
    int64_t number = tess_vocab_find(vocab, text);
    char *name = tess_text_trimmed(text);

    if (number < 0)
        number = tess_vocab_find(vocab, name);
    tess_free(name);
    return number;
}

int tess_select_make(const struct tess_maker *maker, const struct tess_vocab *vocab,
                     const char *text, int combinations, int64_t *member)
{
    struct tess_strings part = {0};
    int n = 0;

    if (!maker->make)
        return 0;
    if (combinations)
        tess_strings_split(&part, text, '+');
    else
        tess_strings_add(&part, text);
    for (size_t i = 0; i < part.n; i++) {
        int64_t number = find_symbol(vocab, part.item[i]);

        if (number < 0) {
            char *name = tess_text_trimmed(part.item[i]);

            number = maker->make(maker->closure, name);
            tess_free(name);
        }
        if (number < 0)
            break;
        member[n++] = number;
    }
    if (n != (int)part.n)
        n = 0;
    tess_strings_release(&part);
    return n ? (int)tess_combination_tidy(tess_vocab_find(vocab, TESS_CONTROL), n, member) : 0;
}

/* A symbol or a combination: was it one? Its unknown parts are added to `unknown`. */
static int add_named(struct search *search, const char *text, struct tess_strings *unknown)
{
    const struct tess_choice *choice = search->choice;
    int64_t number = find_symbol(choice->vocab, text), *member;
    size_t before = unknown->n;
    int64_t room = 1;
    int n = number >= 0;

    for (const char *c = text; *c; c++)
        room += *c == '+';
    member = TESS_NEW(int64_t, room);
    member[0] = number;
    if (number < 0 && choice->combinations)
        n = tess_combination_parse(choice->vocab, NULL, text, member, unknown);
    else if (number < 0)
        tess_strings_add(unknown, text);
    if (n == 0 && (n = tess_select_make(&choice->maker, choice->vocab, text, choice->combinations,
                                        member)) > 0)
        while (unknown->n > before)
            tess_free(unknown->item[--unknown->n]);
    if (n > 0)
        add_set(search, n, member);
    tess_free(member);
    return n > 0;
}

static int is_file(const char *path)
{
    struct stat state;

    return stat(path, &state) == 0 && !S_ISDIR(state.st_mode);
}

static int add_file(struct search *search, const char *path, struct tess_error *error)
{
    struct tess_strings name = {0};

    if (tess_strings_read(&name, path, error) == TESS_OK)
        for (size_t i = 0; i < name.n; i++)
            add_named(search, name.item[i], &search->unknown);
    tess_strings_release(&name);
    return error->code;
}

/* Unknown parts are kept apart until it is certain that the text names no file either. */
static int add_item(struct search *search, const char *text, struct tess_error *error)
{
    struct tess_strings unknown = {0};
    int known = tess_vocab_find(search->choice->vocab, text) >= 0;

    if (!known && text[0] == '@')
        return add_file(search, text + 1, error);
    if (!known && tess_text_is_pattern(text)) {
        if (add_matches(search, text) == 0)
            tess_error_set(error, TESS_EDATA, "%s: no trained %s fits the pattern '%s'",
                           search->choice->source, search->choice->what, text);
        return error->code;
    }
    if (!add_named(search, text, &unknown)) {
        if (is_file(text))
            add_file(search, text, error);
        else
            for (size_t i = 0; i < unknown.n; i++)
                tess_strings_add(&search->unknown, unknown.item[i]);
    }
    tess_strings_release(&unknown);
    return error->code;
}

static void refuse(const struct tess_choice *choice, const struct tess_strings *unknown,
                   struct tess_error *error)
{
    struct tess_error why = TESS_ERROR_INIT;

    tess_vocab_refuse(choice->vocab, unknown, choice->what, choice->source, &why);
    tess_error_set(error, why.code, "%s%s", why.text, choice->remedy ? choice->remedy : "");
}

static int judge(struct search *search, struct tess_error *error)
{
    const struct tess_choice *choice = search->choice;

    if (error->code == TESS_OK && search->unknown.n > 0)
        refuse(choice, &search->unknown, error);
    if (error->code == TESS_OK && search->untrained.n > 0) {
        char *list = tess_strings_join(&search->untrained, ", ", LISTED);

        tess_error_set(error, TESS_EDATA,
                       "%s knows %zu %s%s by name only, without any training data: %s; leave out "
                       "what it could not learn",
                       choice->source, search->untrained.n, choice->what,
                       search->untrained.n == 1 ? "" : "s", list);
        tess_free(list);
    }
    if (error->code == TESS_OK && search->sets->n == 0)
        tess_error_set(error, TESS_EDATA, "%s: no %s is left to choose", choice->source,
                       choice->what);
    return error->code;
}

int tess_select(const struct tess_choice *choice, const struct tess_strings *given,
                struct tess_sets *sets, struct tess_error *error)
{
    struct search search = {.choice = choice, .sets = sets};

    if (given->n == 0)
        add_matches(&search, NULL);
    for (size_t i = 0; i < given->n && error->code == TESS_OK; i++)
        add_item(&search, given->item[i], error);
    judge(&search, error);
    tess_strings_release(&search.unknown);
    tess_strings_release(&search.untrained);
    tess_sets_sort(sets, NULL);
    return error->code;
}

int tess_select_names(const struct tess_choice *choice, const struct tess_strings *names,
                      struct tess_sets *sets, int64_t *place, struct tess_error *error)
{
    struct search search = {.choice = choice, .sets = sets};
    int64_t *number;

    for (size_t i = 0; i < names->n; i++)
        add_named(&search, names->item[i], &search.unknown);
    judge(&search, error);
    tess_strings_release(&search.unknown);
    tess_strings_release(&search.untrained);
    if (error->code != TESS_OK)
        return error->code;
    TESS_BUG_IF(sets->n != (int64_t)names->n);
    number = TESS_NEW(int64_t, sets->n);
    tess_sets_sort(sets, number);
    memcpy(place, number, names->n * sizeof *place);
    tess_free(number);
    return TESS_OK;
}

/* Lines "A<TAB>B" become "A+B", which a combination is read from anyway. */
int tess_select_pairs(const struct tess_choice *choice, const char *path, struct tess_sets *sets,
                      struct tess_error *error)
{
    char *source = tess_format("%s: %s", path, choice->source);
    struct tess_choice named = *choice;
    struct tess_strings line = {0};
    int64_t *place = NULL;

    named.source = source;
    if (tess_strings_read(&line, path, error) == TESS_OK) {
        place = TESS_NEW(int64_t, line.n);
        for (size_t i = 0; i < line.n; i++)
            for (char *c = line.item[i]; *c; c++)
                *c = *c == '\t' ? '+' : *c;
        tess_select_names(&named, &line, sets, place, error);
    }
    for (size_t i = 0; i < line.n && error->code == TESS_OK; i++)
        if (sets->first[place[i] + 1] - sets->first[place[i]] != 2)
            tess_error_set(error, TESS_EDATA,
                           "%s: '%s' is no pair: give two different perturbations beside control "
                           "in each line, with a tab or '+' between them",
                           path, line.item[i]);
    tess_free(place);
    tess_free(source);
    tess_strings_release(&line);
    return error->code;
}
