/* groups.c -- groups of ranks, and which of them does what. */
#include "tessera/groups.h"

#include "tessera/agree.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/preempt.h"

int tess_groups_check(int64_t n, int n_ranks, const char *setting, int code,
                      struct tess_error *error)
{
    if (n <= n_ranks)
        return TESS_OK;
    return tess_error_set(error, code,
                          "%s is %lld, but there %s only %d rank%s: a group is of one rank or "
                          "more; start more ranks, or lower it",
                          setting, (long long)n, n_ranks == 1 ? "is" : "are", n_ranks,
                          n_ranks == 1 ? "" : "s");
}

/* Every rank can be called: within a group there may be groups again, whose leaders listen. */
void tess_groups_init(struct tess_groups *groups, int n, MPI_Comm comm, struct tess_groups *outer)
{
    int rank, n_ranks, own;

    *groups = (struct tess_groups){.comm = comm, .n = n, .outer = outer};
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    groups->number = (int)((((int64_t)rank + 1) * n - 1) / n_ranks);
    MPI_Comm_split(comm, groups->number, rank, &groups->group);
    MPI_Comm_rank(groups->group, &own);
    /* Progress is the first group's alone. */
    if (own == 0 && rank != 0 && tess_log_level == TESS_LOG_NONE)
        tess_log_level = TESS_LOG_WARN;
    tess_halt_init(&groups->halt, n > 1, comm);
}

int tess_groups_heard(struct tess_groups *groups)
{
    int heard = 0;

    for (; groups; groups = groups->outer)
        heard |= tess_halt_heard(&groups->halt);
    return heard;
}

static int is_mine(const struct tess_groups *groups, int64_t i)
{
    int64_t place = i % groups->n;

    return (i / groups->n % 2 ? groups->n - 1 - place : place) == groups->number;
}

/* Between two items. Collective over the group. */
static int check_stop(struct tess_groups *groups, const char *between, struct tess_error *error)
{
    int rank;

    MPI_Comm_rank(groups->group, &rank);
    if (tess_preempt_signal() || (rank == 0 && tess_groups_heard(groups)))
        tess_error_set(error, TESS_EINTERRUPTED,
                       "stopped by %s %s: run the same command again to go on",
                       tess_preempt_signal() ? "a signal" : "another group of ranks", between);
    return tess_agree(groups->group, error);
}

int tess_groups_run(struct tess_groups *groups, int64_t n, const struct tess_groups_work *work,
                    struct tess_error *error)
{
    int followed, rank;

    MPI_Comm_rank(groups->group, &rank);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
        if (is_mine(groups, i) && check_stop(groups, work->between, error) == TESS_OK)
            work->take(work->closure, i, error);
    followed = groups->halt.followed && error->code == TESS_EINTERRUPTED;
    MPI_Allreduce(MPI_IN_PLACE, &followed, 1, MPI_INT, MPI_MAX, groups->group);
    if (followed)
        *error = (struct tess_error)TESS_ERROR_INIT;
    else if (error->code != TESS_OK && rank == 0)
        tess_halt_call(&groups->halt);
    return error->code;
}

void tess_groups_release(struct tess_groups *groups)
{
    tess_halt_release(&groups->halt);
    MPI_Comm_free(&groups->group);
}
