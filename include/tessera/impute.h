/* impute.h -- the experiments nobody ran: a trained model's predictions for perturbations ×
 * readouts of many contexts, as one labelled file (writer.h), written in parallel block by block.
 *
 * Rows are "PERTURBATION@CONTEXT", context by context; columns are readouts; both in the model's
 * order. What depends on where and when the file was made stands in the notes under provenance
 * alone. */
#ifndef TESSERA_IMPUTE_H
#define TESSERA_IMPUTE_H

#include "tessera/blend.h"
#include "tessera/text.h"
#include "tessera/writer.h"

#include <mpi.h>

struct tess_error;

/* Word for the combinations that the store's training experiments hold. */
#define TESS_IMPUTE_COMBINATIONS "@combinations"

#define TESS_IMPUTE_ALL "all" /* pairs */

/* Where the seconds of an imputation went, on this rank; what is written meanwhile stands in
 * file.stream. */
struct tess_impute_times {
    double open; /* models, store, choosing */
    double labels; /* names, columns, notes */
    double predict;
    double wait; /* for blocks that were not yet written */
    double all;
    struct tess_writer_times file;
};

/* What a dry run found out. */
struct tess_impute_plan {
    double rows, readouts, bytes; /* of the output; rows are of all contexts */
    double memory; /* bytes of the rank that needs most */
};

struct tess_impute {
    int n_models; /* more than one: an ensemble, with the layer "std" */
    char *const *model; /* run directories or checkpoints. Borrowed */
    const char *output; /* its ending says which kind of file. Borrowed */
    const char *directory; /* in place of output: a file for each context; or NULL. Borrowed */
    const char *format; /* that kind, whatever the name is; or NULL. Borrowed */
    const char *store; /* or NULL: the one that the model was trained on. Borrowed */
    const char *command; /* or NULL: for uns/provenance. Borrowed */
    struct tess_strings context, perturbation, readout; /* empty: all trained. Own */
    const char *pairs; /* combinations of two: TESS_IMPUTE_ALL, of all perturbations above, or a
                          file of them; NULL: none. Borrowed */
    const char *triples; /* a file of what is asked for; NULL: every combination of the above.
                            Borrowed */
    int delta; /* the change against the context's control, in place of values */
    int keep; /* measured training values stay, and the layer "observed" marks them */
    int half; /* values in float16 */
    enum tess_blend_choice blend; /* is the model blended with a baseline? */
    int precision; /* enum tess_precision: of the predictions */
    int dry_run; /* say what would be written, and stop */
    int replace; /* an output that is there */
    int fresh; /* an unfinished one is not gone on with */
    double time_limit; /* seconds, from now: then it stops, to be gone on with; 0: none */
    double save_every; /* seconds of work that an interruption may cost; 0: 20 */
    double memory; /* bytes that a rank may have; 0: as much as suits */
    double max_size; /* bytes of the output; 0: half of what is free there */
    int64_t threads; /* of a rank; 0: as OMP_NUM_THREADS says, else 1 */
    struct tess_impute_plan *plan; /* to be filled in, of an output that may be too large for the
                                      disk here; NULL: nobody asks. Borrowed */
    struct tess_impute_times *times; /* to be filled in; NULL: nobody asks. Borrowed */
};

void tess_impute_release(struct tess_impute *impute); /* local */
/* TESS_EUSAGE if the output is missing, or promises a kind of file that cannot hold what is to be
 * written. Local. */
int tess_impute_check(const struct tess_impute *impute, struct tess_error *error);
/* Goes on with an unfinished output of the same model, selection and options, on any number of
 * ranks, to the same bits; does nothing if the whole one is there. TESS_EDATA for symbols that the
 * model does not know or never learned; TESS_ECREATE if the disk clearly has no room, or if the
 * output exists, is something else and is not to be replaced; TESS_EUSAGE if it would be too large,
 * if the memory is too small, or if what is unfinished is something else; TESS_EINTERRUPTED if it
 * was asked to stop (preempt.h): what is done is saved. Collective over comm. */
int tess_impute_write(const struct tess_impute *impute, MPI_Comm comm, struct tess_error *error);

#endif
