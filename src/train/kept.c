/* kept.c -- a copy of all of the state that steps change, piece behind piece, in the order of the
 * table of state. (Past learning rates stay as they are.) */
#include "tessera/kept.h"

#include "tessera/alloc.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT ((int64_t)64 << 20) /* bytes of a rank; writing more than that pays */

int64_t tess_kept_decide(const struct tess_trainer *trainer)
{
    struct tess_state state = tess_trainer_state(trainer);
    const char *text = getenv("TESS_KEPT_BYTES");
    int64_t bytes = 0, limit = LIMIT;

    for (int g = 0; g < TESS_STATE_N_GROUPS; g++)
        bytes += tess_state_moving_bytes(&state, g, trainer->n_ranks);
    if (text && !tess_text_int64(text, &limit))
        limit = LIMIT;
    bytes = bytes <= limit ? bytes : 0;
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, trainer->comm); /* the environment may differ */
    return bytes;
}

static void take(char *copy, char *piece, size_t bytes)
{
    memcpy(copy, piece, bytes);
}

static void exchange(char *copy, char *piece, size_t bytes)
{
    char aside[4096];

    for (size_t i = 0; i < bytes; i += sizeof aside) {
        size_t n = bytes - i < sizeof aside ? bytes - i : sizeof aside;

        memcpy(aside, copy + i, n);
        memcpy(copy + i, piece + i, n);
        memcpy(piece + i, aside, n);
    }
}

/* `act` on each piece and its place in the copy (NULL: on none). Returns the bytes of all. */
static size_t for_each_piece(const struct tess_state *state, char *copy,
                             void (*act)(char *copy, char *piece, size_t bytes))
{
    size_t at = 0;

    for (int i = 0; i < tess_n_state_fields; i++) {
        const struct tess_state_field *field = &tess_state_fields[i];

        for (int t = 0; field->moves && t < tess_state_group_tables(tess_state_group_of(field));
             t++) {
            size_t bytes = tess_state_bytes(state, field, t);

            if (act && bytes > 0)
                act(copy + at, tess_state_data(state, field, t), bytes);
            at += bytes;
        }
    }
    return at;
}

void tess_kept_take(struct tess_kept *kept, struct tess_trainer *trainer)
{
    struct tess_state state = tess_trainer_state(trainer);

    if (!kept->block)
        kept->block = TESS_NEW(char, for_each_piece(&state, NULL, NULL));
    for_each_piece(&state, kept->block, take);
    kept->full = 1;
}

/* Numbers are exchanged with those of `state`, a copy, and go to the trainer from there; arrays are
 * exchanged in place, as the state points to the trainer's own. */
void tess_kept_exchange(struct tess_kept *kept, struct tess_trainer *trainer)
{
    struct tess_state state = tess_trainer_state(trainer);

    for_each_piece(&state, kept->block, exchange);
    tess_trainer_adopt(trainer, &state);
}

void tess_kept_release(struct tess_kept *kept)
{
    tess_free(kept->block);
    *kept = (struct tess_kept){0};
}
