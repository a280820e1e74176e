/* joint.c -- members of an ensemble learn the same up to a rotation and a scale each. Side by side
 * their principal components are what they have in common first: an axis that all know has the
 * variance of all. (docs/discovery.md compares it with canonical correlation and Procrustes.) */
#include "joint.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/rounds.h"

#include <math.h>
#include <string.h>

struct source {
    const struct tess_joint *joint;
    const struct tess_vectors *vectors;
};

static void scale_row(const struct tess_joint *joint, const struct tess_vectors *vectors,
                      const float *x, double *out)
{
    for (int m = 0; m < vectors->n_members; m++)
        for (int64_t j = tess_vectors_begin(vectors, m); j < tess_vectors_begin(vectors, m + 1);
             j++)
            out[j] = joint->scale[m] * (double)x[j];
}

/* Trained rows [first, first + n), each stretch of neighbours at once. */
static int make(void *closure, int64_t first, int64_t n, double *out, struct tess_error *error)
{
    const struct source *source = closure;
    const struct tess_vectors *vectors = source->vectors;
    const int64_t *row = source->joint->trained + first;
    float *x = TESS_NEW(float, n * vectors->width);

    for (int64_t i = 0, m; i < n && error->code == TESS_OK; i += m) {
        for (m = 1; i + m < n && row[i + m] == row[i] + m;)
            m++;
        tess_vectors_make(vectors, row[i], m, x + i * vectors->width, error);
    }
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
        scale_row(source->joint, vectors, x + i * vectors->width, out + i * vectors->width);
    tess_free(x);
    return error->code;
}

/* Sums and squares of each column, over all ranks. */
static int add_up(struct source *source, const struct tess_rounds *rounds, double *sum,
                  struct tess_error *error)
{
    int64_t width = source->vectors->width;
    double *x = TESS_NEW(double, rounds->size *width);

    for (int64_t round = 0; round < rounds->n_rounds && error->code == TESS_OK; round++) {
        int64_t first, n = tess_rounds_take(rounds, round, &first);

        if (n > 0)
            make(source, first, n, x, error);
        for (int64_t i = 0; i < n * width && error->code == TESS_OK; i++) {
            sum[i % width] += x[i];
            sum[width + i % width] += x[i] * x[i];
        }
    }
    tess_free(x);
    if (tess_agree(rounds->comm, error) == TESS_OK)
        MPI_Allreduce(MPI_IN_PLACE, sum, tess_int(2 * width), MPI_DOUBLE, MPI_SUM, rounds->comm);
    return error->code;
}

/* Each member gets a total variance of 1. One that does not vary stays as it is. */
static int find_scales(struct tess_joint *joint, const struct tess_vectors *vectors, MPI_Comm comm,
                       struct tess_error *error)
{
    struct source source = {joint, vectors};
    const struct tess_rounds rounds =
        tess_rounds_make(comm, joint->n_trained, 2 * vectors->width, TESS_VECTORS_TILE);
    double *sum = TESS_NEW(double, 2 * vectors->width), n = (double)joint->n_trained;

    if (add_up(&source, &rounds, sum, error) == TESS_OK)
        for (int m = 0; m < vectors->n_members; m++) {
            double all = 0;

            for (int64_t j = tess_vectors_begin(vectors, m); j < tess_vectors_begin(vectors, m + 1);
                 j++)
                all += sum[vectors->width + j] / n - sum[j] / n * (sum[j] / n);
            joint->scale[m] = all > 0 ? 1 / sqrt(all) : 1;
        }
    tess_free(sum);
    return error->code;
}

int tess_joint_init(struct tess_joint *joint, const struct tess_vectors *vectors,
                    const uint8_t *trained, int64_t k, MPI_Comm comm, struct tess_error *error)
{
    struct source source = {joint, vectors};
    struct tess_pca_rows rows = {.width = vectors->width, .closure = &source, .make = make};

    *joint = (struct tess_joint){.trained = TESS_NEW(int64_t, vectors->n),
                                 .scale = TESS_NEW(double, vectors->n_members)};
    for (int64_t i = 0; i < vectors->n; i++)
        if (trained[i])
            joint->trained[joint->n_trained++] = i;
    for (int m = 0; m < vectors->n_members; m++)
        joint->scale[m] = 1;
    rows.n = joint->n_trained;
    k = k < rows.n - 1 ? k : rows.n - 1;
    k = k < rows.width ? k : rows.width;
    if (k > 0 && find_scales(joint, vectors, comm, error) == TESS_OK)
        tess_pca_init(&joint->pca, &rows, k, comm, error);
    return error->code;
}

void tess_joint_project(const struct tess_joint *joint, const struct tess_vectors *vectors,
                        int64_t n, const float *x, int64_t k, float *out)
{
    int64_t width = vectors->width, own = joint->pca.k;
    double *scaled = TESS_NEW(double, n *width), *place = TESS_NEW(double, n *own);

    for (int64_t i = 0; i < n; i++)
        scale_row(joint, vectors, x + i * width, scaled + i * width);
    if (own > 0 && n > 0)
        tess_pca_project(&joint->pca, n, scaled, place);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++)
            out[i * k + j] = j < own ? (float)place[i * own + j] : 0;
    tess_free(scaled);
    tess_free(place);
}

void tess_joint_release(struct tess_joint *joint)
{
    tess_free(joint->trained);
    tess_free(joint->scale);
    tess_pca_release(&joint->pca);
    *joint = (struct tess_joint){.n_trained = 0};
}
