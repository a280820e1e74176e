/* scorecard.h -- what an evaluation found, for people and programs. All is local, on rank 0. */
#ifndef TESSERA_SCORECARD_H
#define TESSERA_SCORECARD_H

#include <jansson.h>
#include <stdio.h>

struct tess_evaluation;

/* Everything, as JSON (docs/formats.md, "Scores"); own of the caller. Local. */
json_t *tess_scorecard_json(const struct tess_evaluation *evaluation);
/* The scores that matter most, as a table. Local. */
void tess_scorecard_print(const struct tess_evaluation *evaluation, FILE *out);

#endif
