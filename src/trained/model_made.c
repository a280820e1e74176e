/* model_made.c -- symbols that a model was not trained with, but whose parts it knows.
 *
 * The same symbol gets the same bits whatever else is asked for: its place in tiles follows from
 * its name. Contexts stand in tiles by their numbers, so these are chosen to fit, with gaps between
 * them; of perturbations, which may be many, places are kept apart from numbers. */
#include "tessera/model.h"

#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/dose.h"
#include "tessera/error.h"
#include "tessera/predictor.h"
#include "tessera/target.h"
#include "tessera/text.h"

#include <string.h>
#include <xxhash.h>

static struct tess_vocab *vocab_of(struct tess_model *model, enum tess_embedding table)
{
    return table == TESS_TABLE_P   ? &model->perturbation
           : table == TESS_TABLE_C ? &model->context
                                   : &model->readout;
}

static int64_t place_of(int64_t n, const char *symbol)
{
    uint64_t hash = XXH3_64bits(symbol, strlen(symbol));

    return (n + TESS_MADE_PLACES - 1) / TESS_MADE_PLACES * TESS_MADE_PLACES +
           (int64_t)(hash % TESS_MADE_PLACES);
}

int64_t tess_model_place(const struct tess_model *model, int64_t perturbation)
{
    int64_t n = model->perturbation.n;

    return perturbation < n ? perturbation : place_of(n, model->perturbation.symbol[perturbation]);
}

/* A composition for it in all members, or in none. */
static int compose(struct tess_model *model, enum tess_embedding table, const char *symbol,
                   int64_t number)
{
    int made = 1;

    for (struct tess_model *member = model; member && made; member = member->next) {
        const uint8_t *trained[] = {member->trained_perturbation, member->trained_readout,
                                    member->trained_context};
        const struct tess_further further = {table, &member->config, vocab_of(member, table),
                                             trained[table], &member->features[table]};

        made = tess_composition_make(&member->composition[table], &further, symbol, number);
    }
    for (struct tess_model *member = model; member && !made; member = member->next)
        tess_composition_forget(&member->composition[table], number);
    return made;
}

/* The name at its number, and nothing in the gap before. */
static void add_name(struct tess_made *made, struct tess_vocab *vocab, const char *symbol,
                     int64_t number)
{
    int64_t k = tess_intern_add(&made->name, symbol, strlen(symbol));
    int64_t known = made->n_numbers > vocab->n ? made->n_numbers : vocab->n;

    made->number = tess_grow(made->number, &made->room_number, (size_t)k + 1, sizeof *made->number);
    made->number[k] = number;
    if (made->room_symbol == 0)
        made->room_symbol = (size_t)vocab->n;
    if (number >= known) {
        vocab->symbol =
            tess_grow(vocab->symbol, &made->room_symbol, (size_t)number + 1, sizeof *vocab->symbol);
        for (int64_t i = known; i < number; i++)
            vocab->symbol[i] = "";
        made->n_numbers = number + 1;
    }
    vocab->symbol[number] = made->name.text[k];
}

static int64_t make(struct tess_model *model, enum tess_embedding table, const char *symbol)
{
    struct tess_made *made = &model->made[table];
    struct tess_vocab *vocab = vocab_of(model, table);
    int64_t found = tess_intern_find(&made->name, symbol, strlen(symbol)), number, place;

    if (found >= 0)
        return made->number[found];
    place = place_of(vocab->n, symbol);
    number = vocab->n + made->name.n;
    if (table == TESS_TABLE_C)
        number = place + TESS_MADE_PLACES * made->block[place % TESS_MADE_PLACES];
    if (!compose(model, table, symbol, number))
        return -1;
    made->block[place % TESS_MADE_PLACES]++;
    add_name(made, vocab, symbol, number);
    return number;
}

/* Nothing of a drug that the model knows is the control, as in `import`. */
static int64_t make_nothing(const struct tess_model *model, const char *symbol,
                            const struct tess_dose *none)
{
    int64_t control = tess_vocab_find(&model->perturbation, TESS_CONTROL);
    double middle;
    int kind;

    tess_dose_middle(&model->perturbation, symbol, none->length, &middle, &kind);
    return kind >= 0 && control >= 0 && model->trained_perturbation[control] ? control : -1;
}

/* Doses have one spelling: drug@3300nM is drug@3.3uM, and may be a symbol of the model. */
int64_t tess_model_make(struct tess_model *model, enum tess_embedding table, const char *symbol)
{
    struct tess_dose dose;
    int64_t number;
    char *name;

    if (table == TESS_TABLE_P && tess_dose_is_none(symbol, &dose))
        return make_nothing(model, symbol, &dose);
    if (table != TESS_TABLE_P || !tess_dose_read(symbol, &dose))
        return make(model, table, symbol);
    name = tess_dose_name(symbol, dose.length, &dose);
    number = tess_vocab_find(&model->perturbation, name);
    if (number < 0)
        number = make(model, table, name);
    tess_free(name);
    return number;
}

/* Contexts are projected before anything is predicted: now again, with those that were made. */
static void project(struct tess_model *model)
{
    for (struct tess_model *member = model; member; member = member->next) {
        const struct tess_composition *composition = &member->composition[TESS_TABLE_C];
        int dim = member->network.shape.dim;
        float *vectors = TESS_NEW(float, composition->n *dim);

        tess_composition_vectors(composition, dim, member->network.table[TESS_TABLE_C], vectors);
        tess_predictor_set_contexts(member->predictor,
                                    (struct tess_embeddings){composition->n, vectors});
        tess_free(vectors);
    }
}

void tess_model_share(struct tess_model *model, MPI_Comm comm)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        struct tess_made *made = &model->made[t];
        struct tess_strings fresh = {0};
        int64_t before = made->n_shared;

        for (int64_t k = before; rank == 0 && k < made->name.n; k++)
            tess_strings_add(&fresh, made->name.text[k]);
        tess_broadcast_strings(comm, &fresh);
        for (size_t k = 0; k < fresh.n; k++)
            TESS_BUG_IF(tess_model_make(model, t, fresh.item[k]) < 0);
        made->n_shared = made->name.n;
        if (t == TESS_TABLE_C && made->n_shared > before)
            project(model);
        tess_strings_release(&fresh);
    }
}
