/* output.h -- what a command may write to: a name that is free, or a regular file that is none of
 * its inputs. Looked at before any work is done. Local: one rank looks. */
#ifndef TESSERA_OUTPUT_H
#define TESSERA_OUTPUT_H

#include "tessera/text.h"

struct tess_error;

struct tess_outputs {
    struct tess_strings input; /* paths; what does not exist counts for nothing; own */
    struct tess_strings output; /* paths; own */
    struct tess_strings name; /* what each is called in a sentence ("--truth"); own */
};

/* TESS_ECREATE naming the first output that is a directory, a device, a pipe, or in a directory
 * that is missing or may not be written; that is one of the inputs or its sidecar NAME.sum, under
 * whatever name (symbolic and hard links included). TESS_EUSAGE if two outputs are one file. */
int tess_outputs_check(const struct tess_outputs *outputs, struct tess_error *error);
void tess_outputs_release(struct tess_outputs *outputs);

/* TESS_ECREATE if PATH alone is such an output: a directory, a device, a pipe, or in a directory
 * that is missing or may not be written. Inputs are not looked at. */
int tess_output_check(const char *path, struct tess_error *error);

#endif
