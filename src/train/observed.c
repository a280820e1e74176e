/* observed.c -- where the values of validation experiments are. */
#include "tessera/observed.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/trainer.h"

void tess_observed_start(struct tess_observed *observed, const struct tess_trainer *trainer,
                         int64_t rows, const int64_t *place, int64_t first, int64_t n)
{
    observed->place = place;
    observed->first = first;
    observed->n = n;
    observed->reads.n = 0;
    if (!trainer->ahead || n == 0)
        return;
    observed->value =
        tess_grow(observed->value, &observed->room, (size_t)(rows * n), sizeof(float));
    observed->reads.target = observed->value;
    for (int64_t i = 0; i < rows; i++)
        tess_reads_add(&observed->reads,
                       (struct tess_read){trainer->validation.experiment[place[i]], i * n, NULL,
                                          tess_int(first), tess_int(n)});
    tess_ahead_add(trainer->ahead, &observed->reads);
    tess_ahead_start(trainer->ahead, 0);
}

int tess_observed_finish(struct tess_observed *observed, const struct tess_trainer *trainer,
                         struct tess_error *error)
{
    return observed->reads.n > 0 ? tess_ahead_finish(trainer->ahead, error) : error->code;
}

const float *tess_observed_row(const struct tess_observed *observed,
                               const struct tess_trainer *trainer, int64_t i)
{
    const struct tess_loaded *loaded = &trainer->validation;

    return trainer->ahead
               ? observed->value + i * observed->n
               : loaded->value + loaded->value_first[observed->place[i]] + observed->first;
}

void tess_observed_release(struct tess_observed *observed)
{
    tess_reads_release(&observed->reads);
    tess_free(observed->value);
    *observed = (struct tess_observed){.n = 0};
}
