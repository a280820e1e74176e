/* map.c -- perturbations in the plane. */
#include "tessera/map.h"

#include "joint.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/state.h"

#include <string.h>

/* All rows are projected, some tiles at a time, and those of trained ones are kept. */
static int project(struct tess_map *map, const struct tess_joint *joint,
                   const struct tess_vectors *vectors, struct tess_error *error)
{
    int64_t most = 16 * TESS_VECTORS_TILE, kept = 0;
    float *x = TESS_NEW(float, most * vectors->width),
          *place = TESS_NEW(float, most *TESS_MAP_AXES);

    for (int64_t first = 0; first < vectors->n && kept < map->n; first += most) {
        int64_t n = vectors->n - first < most ? vectors->n - first : most;

        if (tess_vectors_make(vectors, first, n, x, error) != TESS_OK)
            break;
        tess_joint_project(joint, vectors, n, x, TESS_MAP_AXES, place);
        for (int64_t end = first + n; kept < map->n && map->number[kept] < end; kept++)
            memcpy(map->place + kept * TESS_MAP_AXES,
                   place + (map->number[kept] - first) * TESS_MAP_AXES,
                   TESS_MAP_AXES * sizeof *place);
    }
    tess_free(x);
    tess_free(place);
    return error->code;
}

int tess_map_make(struct tess_map *map, const struct tess_model *model, struct tess_error *error)
{
    struct tess_vectors vectors = {0};
    struct tess_joint joint = {0};

    *map = (struct tess_map){.number = TESS_NEW(int64_t, model->perturbation.n)};
    for (int64_t i = 0; i < model->perturbation.n; i++)
        if (model->trained_perturbation[i])
            map->number[map->n++] = i;
    map->place = TESS_NEW(float, map->n *TESS_MAP_AXES);
    if (tess_vectors_open(&vectors, model, TESS_TABLE_P, 1, error) == TESS_OK &&
        tess_joint_init(&joint, &vectors, model->trained_perturbation, TESS_MAP_AXES, MPI_COMM_SELF,
                        error) == TESS_OK &&
        project(map, &joint, &vectors, error) == TESS_OK)
        for (int64_t a = 0; a < joint.pca.k; a++)
            map->share[a] = joint.pca.total > 0 ? joint.pca.variance[a] / joint.pca.total : 0;
    tess_joint_release(&joint);
    tess_vectors_release(&vectors);
    return error->code;
}

void tess_map_release(struct tess_map *map)
{
    tess_free(map->number);
    tess_free(map->place);
    *map = (struct tess_map){.n = 0};
}
