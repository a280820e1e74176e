/* impute_labels.c -- who is who in an imputed file. Names and columns are made block by block while
 * they are written: of 10⁸ rows nobody holds them all. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/known.h"
#include "tessera/target.h"
#include "tessera/writer.h"

#include <math.h>
#include <string.h>

enum type { SINGLE, COMBINATION, CONTROL };
static const char *const type_names[] = {"single", "combination", "control"};
enum trained { HERE, ELSEWHERE, NEVER };
static const char *const trained_names[] = {"here", "elsewhere", "never"};

/* What stands for a component in the perturbation's name: its symbol, or what was hit by it. */
static const char *part_of(const struct imputation *work, int64_t component, int target)
{
    const char *symbol = work->model.perturbation.symbol[component];

    return target ? tess_target_name(symbol) : symbol;
}

/* "A+B" of a perturbation, which has room; its length. `out` NULL: the length alone. */
static int64_t spell(const struct imputation *work, int64_t set, int target, char *out)
{
    const int64_t *member;
    int64_t pair[2], n = tess_imputation_members(work, set, pair, &member), length = 0;

    for (int64_t k = 0; k < n; k++) {
        const char *part = part_of(work, member[k], target);
        size_t size = strlen(part);

        if (k > 0 && out)
            out[length] = '+';
        length += k > 0;
        if (out)
            memcpy(out + length, part, size);
        length += (int64_t)size;
    }
    return length;
}

/* The longest name, without looking at every pair. */
static int64_t longest(const struct imputation *work)
{
    int64_t most = 0, second = 0, n = work->perturbation.n;

    for (int64_t i = 0; i < n; i++) {
        const int64_t *member = work->perturbation.member;
        int64_t length = work->rows.pairs
                             ? (int64_t)strlen(work->model.perturbation.symbol[member[i]])
                             : spell(work, i, 0, NULL);

        second = length > most ? most : length > second ? length : second;
        most = length > most ? length : most;
    }
    return work->rows.pairs ? most + second + 1 : most;
}

static int64_t longest_context(const struct imputation *work)
{
    int64_t most = 0;

    for (int64_t i = 0; i < work->context.n; i++) {
        int64_t length = (int64_t)strlen(work->model.context.symbol[work->context.member[i]]);

        if (work->rows.only < 0 || work->rows.only == i)
            most = length > most ? length : most;
    }
    return most;
}

static void make_sets(const void *closure, int64_t first, int64_t n, int width, char *out)
{
    for (int64_t i = 0; i < n; i++)
        spell(closure, first + i, 0, out + i * width);
}

static void make_names(const void *closure, int64_t first, int64_t n, int width, char *out)
{
    const struct imputation *work = closure;

    for (int64_t i = 0; i < n; i++) {
        int64_t set, context, length;
        char *name = out + i * width;
        const char *symbol;

        tess_imputation_row(work, first + i, &set, &context);
        symbol = work->model.context.symbol[work->context.member[context]];
        length = spell(work, set, 0, name);
        name[length] = '@';
        memcpy(name + length + 1, symbol, strlen(symbol));
    }
}

static void make_targets(const void *closure, int64_t first, int64_t n, int width, char *out)
{
    const struct imputation *work = closure;

    for (int64_t i = 0; i < n; i++) {
        int64_t set, context;

        tess_imputation_row(work, first + i, &set, &context);
        spell(work, set, 1, out + i * width);
    }
}

static enum type type_of(const struct imputation *work, int64_t set)
{
    const int64_t *member;
    int64_t pair[2], n = tess_imputation_members(work, set, pair, &member);

    if (n > 1)
        return COMBINATION;
    return strcmp(work->model.perturbation.symbol[member[0]], TESS_CONTROL) == 0 ? CONTROL : SINGLE;
}

static int32_t code_set(const struct imputation *work, int64_t set, int64_t context)
{
    (void)work;
    (void)context;
    return (int32_t)set;
}

static int32_t code_context(const struct imputation *work, int64_t set, int64_t context)
{
    (void)set;
    return work->rows.only < 0 ? (int32_t)context : 0;
}

static int32_t code_type(const struct imputation *work, int64_t set, int64_t context)
{
    (void)context;
    return type_of(work, set);
}

static int32_t code_trained(const struct imputation *work, int64_t set, int64_t context)
{
    const struct imputation_marks *marks = &work->marks;

    if (tess_imputation_has(&marks->trained, context * tess_imputation_n_sets(work) + set))
        return HERE;
    return tess_imputation_has(&marks->set, set) ? ELSEWHERE : NEVER;
}

/* Of the component that is known least. */
static int32_t code_components(const struct imputation *work, int64_t set, int64_t context)
{
    const struct imputation_marks *marks = &work->marks;
    const int64_t *member;
    int64_t pair[2], n = tess_imputation_members(work, set, pair, &member);
    int32_t least = HERE, one;

    for (int64_t k = 0; k < n; k++) {
        int64_t key = context * work->model.perturbation.n + member[k];

        one = member[k] >= work->model.perturbation.n             ? NEVER
              : tess_imputation_has(&marks->component_here, key)  ? HERE
              : tess_imputation_has(&marks->component, member[k]) ? ELSEWHERE
                                                                  : NEVER;
        least = one > least ? one : least;
    }
    return least;
}

static int32_t code_contexts(const struct imputation *work, int64_t set, int64_t context)
{
    (void)set;
    return tess_imputation_has(&work->marks.context, context) ? HERE : NEVER;
}

static int32_t code_known(const struct imputation *work, int64_t set, int64_t context)
{
    const int64_t *member;
    int64_t pair[2], n = tess_imputation_members(work, set, pair, &member);

    return (int32_t)tess_known_row(&work->model, n, member, work->context.member[context]);
}

static void make_deviations(const void *closure, int64_t first, int64_t n, void *out)
{
    const struct imputation *work = closure;

    for (int64_t i = 0; i < n; i++) {
        int64_t set, context, pair[2], size;
        const int64_t *member;

        tess_imputation_row(work, first + i, &set, &context);
        size = tess_imputation_members(work, set, pair, &member);
        ((double *)out)[i] =
            tess_known_has_deviation(&work->model, size, member, work->context.member[context])
                ? work->feature_deviation
                : NAN;
    }
}

/* One column of codes. */
struct coded {
    const struct imputation *work;
    int32_t (*code)(const struct imputation *work, int64_t set, int64_t context);
};

static void make_codes(const void *closure, int64_t first, int64_t n, void *out)
{
    const struct coded *coded = closure;

    for (int64_t i = 0; i < n; i++) {
        int64_t set, context;

        tess_imputation_row(coded->work, first + i, &set, &context);
        ((int32_t *)out)[i] = coded->code(coded->work, set, context);
    }
}

static void make_observed(const void *closure, int64_t first, int64_t n, void *out)
{
    const struct imputation *work = closure;

    for (int64_t i = 0; i < n; i++) {
        int64_t set, context;

        tess_imputation_row(work, first + i, &set, &context);
        ((uint8_t *)out)[i] = (uint8_t)tess_imputation_has(
            &work->marks.observed, context * tess_imputation_n_sets(work) + set);
    }
}

static int write_codes(const struct coded *coded, struct tess_writer *file, const char *name,
                       const struct tess_writer_texts *categories, struct tess_error *error)
{
    struct tess_writer_column column = {.name = name,
                                        .type = TESS_WRITER_CODES,
                                        .texts = categories,
                                        .make = make_codes,
                                        .closure = coded};

    return tess_writer_write_column(file, TESS_WRITER_ROWS, &column, error);
}

/* Symbols of chosen sets of one; the array is own, the symbols are the vocabulary's. */
static const char **symbols_of(const struct tess_vocab *vocab, const struct tess_sets *sets)
{
    const char **symbol = TESS_NEW(const char *, sets->n);

    for (int64_t i = 0; i < sets->n; i++)
        symbol[i] = vocab->symbol[sets->member[i]];
    return symbol;
}

static int write_who(const struct imputation *work, struct tess_writer *file,
                     struct tess_error *error)
{
    const char **symbol = symbols_of(&work->model.context, &work->context);
    int64_t only = work->rows.only;
    int width = tess_int(longest(work));
    const struct tess_writer_texts perturbation = {tess_imputation_n_sets(work), NULL, width,
                                                   make_sets, work},
                                   context = {.n = only < 0 ? work->context.n : 1,
                                              .text = symbol + (only < 0 ? 0 : only)},
                                   type = {.n = 3, .text = type_names},
                                   target = {work->n_rows, NULL, width, make_targets, work};

    if (write_codes(&(struct coded){work, code_set}, file, "perturbation", &perturbation, error) ==
            TESS_OK &&
        write_codes(&(struct coded){work, code_context}, file, "context", &context, error) ==
            TESS_OK &&
        write_codes(&(struct coded){work, code_type}, file, "type", &type, error) == TESS_OK)
        tess_writer_write_words(file, "target", &target, error);
    tess_free(symbol);
    return error->code;
}

static int write_known(const struct imputation *work, struct tess_writer *file,
                       struct tess_error *error)
{
    const struct tess_writer_texts trained = {.n = 3, .text = trained_names};
    int known[2] = {work->marks.known, work->marks.known && !work->marks.other};

    MPI_Bcast(known, 2, MPI_INT, 0, file->comm);
    if (!known[0])
        return TESS_OK;
    if (tess_writer_write_column(file, TESS_WRITER_ROWS,
                                 &(struct tess_writer_column){.name = "observed",
                                                              .type = TESS_WRITER_FLAGS,
                                                              .make = make_observed,
                                                              .closure = work},
                                 error) == TESS_OK &&
        known[1] &&
        write_codes(&(struct coded){work, code_trained}, file, "trained", &trained, error) ==
            TESS_OK &&
        write_codes(&(struct coded){work, code_components}, file, "trained_components", &trained,
                    error) == TESS_OK)
        write_codes(&(struct coded){work, code_contexts}, file, "trained_context", &trained, error);
    return error->code;
}

/* By what the model knows rows and readouts, where that is not always their data. */
static int write_ways(const struct imputation *work, struct tess_writer *file,
                      struct tess_error *error)
{
    const struct tess_writer_texts ways = {.n = TESS_KNOWN_WAYS, .text = tess_known_names};
    const struct coded coded = {work, code_known};
    int32_t *readout;

    if (!tess_known_differs(&work->model) ||
        write_codes(&coded, file, TESS_KNOWN_COLUMN, &ways, error) != TESS_OK)
        return error->code;
    if (!isnan(work->feature_deviation) &&
        tess_writer_write_column(file, TESS_WRITER_ROWS,
                                 &(struct tess_writer_column){.name = TESS_KNOWN_DEVIATIONS,
                                                              .type = TESS_WRITER_REALS,
                                                              .make = make_deviations,
                                                              .closure = work},
                                 error) != TESS_OK)
        return error->code;
    readout = TESS_NEW(int32_t, work->readout.n);
    for (int64_t k = 0; k < work->readout.n; k++)
        readout[k] =
            (int32_t)tess_known_symbol(&work->model, TESS_TABLE_R, work->readout.member[k]);
    tess_writer_write_column(
        file, TESS_WRITER_READOUTS,
        &(struct tess_writer_column){
            .name = TESS_KNOWN_COLUMN, .type = TESS_WRITER_CODES, .texts = &ways, .value = readout},
        error);
    tess_free(readout);
    return error->code;
}

int tess_imputation_write_labels(const struct imputation *work, struct tess_writer *file,
                                 struct tess_error *error)
{
    const char **readout = symbols_of(&work->model.readout, &work->readout);
    const struct tess_writer_texts names = {
        work->n_rows, NULL, tess_int(longest(work) + longest_context(work) + 1), make_names, work};

    if (tess_writer_write_names(file, TESS_WRITER_READOUTS, readout, error) == TESS_OK &&
        tess_writer_make_names(file, TESS_WRITER_ROWS, &names, error) == TESS_OK &&
        write_who(work, file, error) == TESS_OK && write_known(work, file, error) == TESS_OK &&
        write_ways(work, file, error) == TESS_OK)
        tess_imputation_write_notes(work, file, error);
    tess_free(readout);
    return error->code;
}
