/* split_name.h -- what experiments are for, and its words. Local. */
#ifndef TESSERA_SPLIT_NAME_H
#define TESSERA_SPLIT_NAME_H

enum tess_split { TESS_TRAIN, TESS_VAL, TESS_TEST, TESS_UNUSED };

/* "train", "val", "test", "unused" in any case ("training", "validation" and "valid" are read, too;
 * "" is unused); -1 if it is none. */
int tess_split_parse(const char *text);
const char *tess_split_name(int split);

#endif
