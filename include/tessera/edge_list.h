/* edge_list.h -- a file of edges, line by line: a regulator, a target and a number, with tabs,
 * commas or semicolons between. A first line of names, one of
 * which is known (regulator, target, score, weight, gene1 …), says which columns these are. Local.
 */
#ifndef TESSERA_EDGE_LIST_H
#define TESSERA_EDGE_LIST_H

#include "tessera/lines.h"

struct tess_error;

#define TESS_EDGE_LIST_COLUMNS 64 /* of a line that are looked at */

struct tess_edge_list {
    const char *path; /* borrowed */
    struct tess_lines lines;
    struct tess_field field[TESS_EDGE_LIST_COLUMNS];
    int at[3]; /* columns of the regulator, the target, the number */
    int number_needed;
};

/* number_needed: a line without a number is an error. Otherwise it counts as 1, and a column that
 * is called `weight` is not the number. TESS_EDATA. To be released in either case. */
int tess_edge_list_open(struct tess_edge_list *list, const char *path, int number_needed,
                        struct tess_error *error);
/* 1: the next edge, whose names are valid until the next call; 0: no more; -1: the error, naming
 * the line (list->lines.number). */
int tess_edge_list_next(struct tess_edge_list *list, struct tess_field name[2], double *number,
                        struct tess_error *error);
void tess_edge_list_release(struct tess_edge_list *list);

#endif
