/* report.h -- one page of pictures, and of the numbers behind them: `tessera report`. */
#ifndef TESSERA_REPORT_H
#define TESSERA_REPORT_H

#include "tessera/blend.h"
#include "tessera/text.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_report { /* all borrowed but the lists */
    const char *run; /* as it was given: what the page is called */
    const char *command; /* that makes this page */
    char **given; /* (n_given) runs and checkpoints as they were given */
    int n_given;
    const char *options; /* given ones of `evaluate` and `screen`, too: " --store=d.prc.h5" or "" */
    const char *output; /* .html, or NULL */
    const char *json; /* the page's numbers alone, or NULL */
    struct tess_strings model; /* run directories or checkpoints; own */
    const char *store; /* or NULL: the one that the model was trained on */
    const char *pairs; /* perturbation<tab>target, or NULL */
    const char *screen; /* a table of `tessera screen`, or NULL: it is made of `readout` */
    struct tess_strings readout; /* empty: the one whose held-out values vary most; own */
    const char *network; /* a list of edges, or NULL */
    const char *gold; /* what that is held against, or NULL */
    int split; /* enum tess_split: whose experiments are scored */
    int64_t n_resamples;
    enum tess_blend_choice blend;
    int precision; /* enum tess_precision */
    int force; /* outputs that are there are replaced */
};

/* TESS_EUSAGE if there is no output, or if options do not go together. Local. */
int tess_report_check(const struct tess_report *report, struct tess_error *error);
/* Scores the model (evaluate.h), and writes the page and the JSON, each whole or not at all, the
 * same bytes on any number of ranks. What cannot be shown because there are no data for it is a
 * sentence in the page. TESS_ECREATE for an output that is there already; TESS_EDATA for a file
 * that cannot be read. Collective over comm. */
int tess_report_make(const struct tess_report *report, MPI_Comm comm, struct tess_error *error);
void tess_report_release(struct tess_report *report); /* local */

#endif
