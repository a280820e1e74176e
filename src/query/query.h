/* query.h -- what the files of this folder share: queries as numbers, and as lines. */
#ifndef QUERY_H
#define QUERY_H

#include "tessera/lines.h"
#include "tessera/model.h"
#include "tessera/queries.h"
#include "tessera/select.h"

#include <stdio.h>

/* Queries of some lines in the model's numbers, as they travel. Neighbouring lines of one
 * perturbation and context are one row. Lines that name something unknown are no queries. */
struct tess_query_block {
    int64_t n_lines, n_rows;
    int64_t *member_first, *member, *context; /* as struct tess_rows */
    int64_t *readout_first,
        *readout; /* (n_rows + 1), of each line that is known; or none of them */
    uint8_t *known; /* (n_lines) */
    size_t room_member_first, room_member, room_context, room_readout_first, room_readout,
        room_known;
};
void tess_query_block_clear(struct tess_query_block *block);
void tess_query_block_release(struct tess_query_block *block);
/* A block whose lines name readouts, with each row once: `out`, own of the caller. Value k of the
 * block is value place[k] of `out`; own of the caller. NULL, and `out` is empty, if each row is
 * there once already. */
int64_t *tess_query_block_merge(const struct tess_query_block *block, struct tess_query_block *out);
/* In one piece, own of the caller, of so many bytes; and pointers into such a piece. */
char *tess_query_block_pack(const struct tess_query_block *block, int64_t *bytes);
void tess_query_block_view(struct tess_query_block *block, char *packed);

/* One of the columns that say what is asked for. */
struct tess_query_column {
    const struct tess_vocab *vocab; /* borrowed */
    const uint8_t *trained; /* borrowed */
    const char *what;
    struct tess_maker maker; /* of what the vocabulary does not have */
    int64_t place; /* among the columns; -1: there is none */
    char *last; /* the text last read, most often the next one, too; own */
    size_t n_last, room_last;
    int64_t n_members, *member; /* what it means; n_members 0: unknown; own */
    size_t room_member;
};
enum { TESS_QUERY_CONTEXT, TESS_QUERY_PERTURBATION, TESS_QUERY_READOUT, TESS_QUERY_COLUMNS };

/* Rank 0's input. */
struct tess_query_reader {
    const struct tess_queries *queries; /* borrowed */
    const struct tess_model *model; /* borrowed */
    struct tess_lines lines;
    const char *path; /* for messages; borrowed */
    struct tess_query_column column[TESS_QUERY_COLUMNS];
    char separator, out_separator;
    int64_t n_columns;
    struct tess_field *field; /* (n_columns) own */
    FILE *curves; /* of --curve, instead of an input; own */
    int fresh; /* another row is asked about than that of the last query */
    char *waiting; /* the first line, if it is no header; own */
    /* lines of all blocks of a round, as they go out, each with its NUL */
    char *text;
    size_t n_text, room_text, most_text; /* long lines: a block ends there, too */
};
/* Opens it and finds out which columns there are; `header` is what their names become, own of the
 * caller. TESS_EDATA. To be released in either case. */
int tess_query_reader_open(struct tess_query_reader *reader, const struct tess_queries *queries,
                           const struct tess_model *model, char **header, struct tess_error *error);
/* The next lines, at most so many, into the block: 1, or 0 if there are no more; -1: error. */
int tess_query_reader_next(struct tess_query_reader *reader, int64_t most,
                           struct tess_query_block *block, struct tess_error *error);
void tess_query_reader_release(struct tess_query_reader *reader);

/* Queries of --curve as a file of their own that has no name; NULL and an error. TESS_EDATA for a
 * drug without doses. */
FILE *tess_query_curves(const struct tess_queries *queries, const struct tess_model *model,
                        struct tess_error *error);

/* A field, in quotes if it has to be, behind what is in `text`. */
void tess_query_put_field(char **text, size_t *n, size_t *room, const struct tess_field *field,
                          char separator);

#endif
