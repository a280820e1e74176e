/* impute_rows.c -- which perturbation and context a row is, without a list where none is needed. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/choice.h"
#include "tessera/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct tess_choice tess_imputation_choice(const struct imputation *work, int table)
{
    return tess_choice_of(&work->model, table);
}

int64_t tess_imputation_n_sets(const struct imputation *work)
{
    int64_t n = work->perturbation.n;

    return work->rows.pairs ? n * (n - 1) / 2 : n;
}

/* Rows of the file that is written: all, or those of one context. */
void tess_imputation_narrow(struct imputation *work, int64_t context)
{
    struct imputation_rows *rows = &work->rows;
    int64_t first = 0, n = 0;

    rows->only = context;
    rows->begin = 0;
    work->n_rows = rows->set     ? rows->n
                   : context < 0 ? tess_imputation_n_sets(work) * work->context.n
                                 : tess_imputation_n_sets(work);
    if (!rows->set || context < 0)
        return;
    for (int64_t i = 0; i < rows->n; i++) {
        first += rows->context[i] < context;
        n += rows->context[i] == context;
    }
    rows->begin = first;
    work->n_rows = n;
}

char *tess_imputation_context_path(const struct imputation *work, int64_t context)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+=,@.";
    const char *symbol = work->model.context.symbol[work->context.member[context]];
    const char *format = work->impute->format ? work->impute->format : "h5ad";
    char *name = TESS_NEW(char, 3 * strlen(symbol) + 1), *path;
    size_t n = 0;

    for (const char *c = symbol; *c; c++)
        if (strchr(plain, *c) && !(n == 0 && *c == '.'))
            name[n++] = *c;
        else
            n += (size_t)snprintf(name + n, 4, "%%%02X", (unsigned)(unsigned char)*c);
    path = tess_format("%s/%s.%s", work->impute->directory, name, format);
    tess_free(name);
    return path;
}

void tess_imputation_row(const struct imputation *work, int64_t row, int64_t *set, int64_t *context)
{
    const struct imputation_rows *rows = &work->rows;
    int64_t n_sets = tess_imputation_n_sets(work);

    if (rows->set) {
        *set = rows->set[rows->begin + row];
        *context = rows->context[rows->begin + row];
    } else {
        *set = row % n_sets;
        *context = rows->only < 0 ? row / n_sets : rows->only;
    }
}

/* Pairs (i, j) with i < j of n, in their order: those before (i, i + 1). */
static int64_t pairs_before(int64_t n, int64_t i)
{
    return i * (n - 1) - i * (i - 1) / 2;
}

/* The root may be off by one in either direction. */
static void pair_of(int64_t n, int64_t number, int64_t *i, int64_t *j)
{
    double b = 2 * (double)n - 1;
    int64_t k = (int64_t)((b - sqrt(b * b - 8 * (double)number)) / 2);

    k = k < 0 ? 0 : k > n - 2 ? n - 2 : k;
    while (k > 0 && pairs_before(n, k) > number)
        k--;
    while (k < n - 2 && pairs_before(n, k + 1) <= number)
        k++;
    *i = k;
    *j = number - pairs_before(n, k) + k + 1;
}

int64_t tess_imputation_members(const struct imputation *work, int64_t set, int64_t pair[2],
                                const int64_t **member)
{
    const struct tess_sets *sets = &work->perturbation;
    int64_t i, j;

    if (!work->rows.pairs) {
        *member = sets->member + sets->first[set];
        return sets->first[set + 1] - sets->first[set];
    }
    pair_of(sets->n, set, &i, &j);
    pair[0] = sets->member[i];
    pair[1] = sets->member[j];
    *member = pair;
    return 2;
}

int64_t tess_imputation_find_set(const struct imputation *work, int64_t n, const int64_t *member)
{
    const struct tess_sets *sets = &work->perturbation;
    int64_t i, j;

    if (!work->rows.pairs)
        return tess_sets_find(sets, n, member);
    if (n != 2)
        return -1;
    i = tess_sets_find(sets, 1, &member[0]);
    j = tess_sets_find(sets, 1, &member[1]);
    return i < 0 || j < 0 ? -1 : pairs_before(sets->n, i) + j - i - 1;
}

void tess_imputation_broadcast(struct imputation *work, MPI_Comm comm)
{
    struct imputation_rows *rows = &work->rows;
    int64_t head[3] = {rows->pairs, rows->set != NULL, rows->n};
    const size_t each = sizeof(int64_t);

    tess_sets_broadcast(comm, &work->perturbation);
    tess_sets_broadcast(comm, &work->context);
    tess_sets_broadcast(comm, &work->readout);
    tess_broadcast(comm, head, sizeof head);
    rows->pairs = (int)head[0];
    rows->n = head[2];
    if (head[1]) {
        rows->set = tess_broadcast_array(comm, rows->set, rows->n, each);
        rows->context = tess_broadcast_array(comm, rows->context, rows->n, each);
        rows->asked_first = tess_broadcast_array(comm, rows->asked_first, rows->n + 1, each);
        rows->asked = tess_broadcast_array(comm, rows->asked, rows->asked_first[rows->n], each);
    }
    tess_imputation_narrow(work, -1);
}

void tess_imputation_rows_release(struct imputation_rows *rows)
{
    tess_free(rows->set);
    tess_free(rows->context);
    tess_free(rows->asked_first);
    tess_free(rows->asked);
    *rows = (struct imputation_rows){0};
}
