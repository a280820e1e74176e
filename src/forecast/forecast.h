/* forecast.h -- what the parts of a forecast share. */
#ifndef FORECAST_H
#define FORECAST_H

#include "estimate.h"

#include "tessera/forecast.h"

#define MOST_LAYOUTS 64 /* lines of the table */

struct forecast {
    const struct tess_forecast *options;
    struct tess_trainer trainer; /* opened; own */
    struct demand demand; /* own */
    struct estimate_basis basis;
    struct traffic traffic; /* of the layout that is asked about; own */
    int members_at_once; /* of an ensemble: groups of ranks */
    int64_t turns; /* that a group trains a member */
    double disk; /* bytes of the checkpoints that are kept, of all members */
    double log; /* bytes of the logs */
    double checkpoint; /* bytes of one */
    int n, asked, best; /* layouts; which of them was asked about, which is the best */
    struct estimate layout[MOST_LAYOUTS];
};

/* An index of that shape, of whose experiments each stands for `each`: few enough to go through,
 * enough for lanes that have as much to do. Own of the caller. Local. */
void tess_forecast_index(const struct tess_forecast_shape *shape, int64_t lanes,
                         struct tess_index *index, double *each);

/* Waits for all ranks and leaves the cores alone meanwhile: waiting in MPI would keep them busy
 * where another rank measures. Collective. */
void tess_forecast_meet(MPI_Comm comm);

void tess_forecast_print(const struct forecast *forecast);
/* TESS_ECREATE and so on if it cannot be written. Local. */
int tess_forecast_write(const struct forecast *forecast, const char *path,
                        struct tess_error *error);

#endif
