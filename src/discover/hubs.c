/* hubs.c -- the lists of the nearest, a batch at a time, of which only the means are kept. */
#include "hubs.h"

#include "nearest.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"

/* near (k): until the first that is none. */
static float mean_of(int64_t k, const struct tess_near *near)
{
    double sum = 0;
    int64_t n = 0;

    for (; n < k && near[n].number >= 0; n++)
        sum += near[n].likeness;
    return n > 0 ? (float)(sum / (double)n) : 0;
}

static int64_t list(int64_t n, const uint8_t *wanted, int64_t *row)
{
    int64_t n_wanted = 0;

    for (int64_t i = 0; i < n; i++)
        if (wanted[i])
            row[n_wanted++] = i;
    return n_wanted;
}

float *tess_hubs_find(const struct tess_directions *directions, const uint8_t *wanted, int64_t k,
                      MPI_Comm comm, struct tess_error *error)
{
    int64_t all = directions->origin.n, n, batch;
    float *hub = TESS_NEW(float, all);
    uint8_t *candidate = TESS_NEW(uint8_t, all);
    int64_t *row = TESS_NEW(int64_t, all);
    const struct tess_likeness likeness = {directions, candidate, NULL, comm};
    struct tess_near *near;

    for (int64_t i = 0; i < all; i++)
        candidate[i] = (uint8_t)tess_kinds_has(directions->kinds, i, NULL);
    n = list(all, wanted, row);
    batch = tess_nearest_batch(&likeness, k, n);
    near = tess_alloc_large((size_t)(batch * k), sizeof *near, "lists of neighbors", error);
    tess_agree(comm, error);
    for (int64_t q = 0; q < n && error->code == TESS_OK; q += batch) {
        const struct tess_likeness_queries some = {n - q < batch ? n - q : batch, row + q};

        tess_nearest_find(&likeness, &some, k, near, error);
        for (int64_t i = 0; i < some.n && error->code == TESS_OK; i++)
            hub[some.row[i]] = mean_of(k, near + i * k); /* rank 0's are right */
    }
    if (error->code == TESS_OK)
        tess_broadcast(comm, hub, (size_t)all * sizeof *hub);
    else {
        tess_free(hub);
        hub = NULL;
    }
    tess_free(near);
    tess_free(row);
    tess_free(candidate);
    return hub;
}
