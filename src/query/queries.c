/* queries.c -- a round after the other until the input ends:
 *   1. rank 0 reads a block of lines for each rank, and turns symbols into numbers
 *   2. every rank predicts its block and makes text of the values
 *   3. rank 0 writes each line with its values behind it */
#include "query.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/choice.h"
#include "tessera/deviation.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/known.h"
#include "tessera/log.h"
#include "tessera/platform.h"
#include "tessera/select.h"
#include "tessera/sheet.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND ((int64_t)1 << 21) /* values of all ranks at a time, if memory allows */
#define LINES ((int64_t)1 << 17) /* lines of a rank at a time, so that tiles are full */

struct work {
    const struct tess_queries *queries;
    MPI_Comm comm;
    int rank, n_ranks;
    struct tess_model model;
    struct tess_blender blender;
    struct tess_blend_store learned;
    struct tess_calibration calibration; /* of the members' deviation */
    double feature_deviation; /* of rows known by features alone (known.h); NaN: unknown */
    int n_values; /* of each query: its prediction, deviation, and that calibrated if it can be */
    struct tess_sets readout; /* of queries without one: which; none: the queries name theirs */
    char separator; /* of the output */
    int64_t round; /* values of all ranks at a time */
    /* rank 0's */
    struct tess_query_reader reader;
    struct tess_sheet sheet;
    int64_t n_lines;
};

void tess_queries_release(struct tess_queries *queries)
{
    tess_strings_release(&queries->readout);
    tess_strings_release(&queries->curve);
    tess_strings_release(&queries->curve_context);
    *queries = (struct tess_queries){.n_models = 0};
}

int tess_queries_check(const struct tess_queries *queries, struct tess_error *error)
{
    return tess_sheet_check(queries->output, "predictions", error);
}

/* ---- the output ---- */

/* What follows a line: each of these of all readouts, then the next. */
static const char *const alone[] = {"prediction", "std", "std_calibrated"};
static const char *const behind[] = {"", ".std", ".std_calibrated"};

/* The names of all columns. */
static void write_header(struct work *work, const char *header)
{
    const char between = work->reader.out_separator;
    char *text = NULL;
    size_t n = 0, room = 0;

    for (int what = 0; what < work->n_values; what++)
        for (int64_t k = 0; k < (work->readout.n ? work->readout.n : 1); k++) {
            char *name =
                !work->readout.n
                    ? tess_strdup(alone[what])
                    : tess_format("%s%s", work->model.readout.symbol[work->readout.member[k]],
                                  behind[what]);

            text = tess_grow(text, &room, n + 1, 1);
            text[n++] = between;
            tess_query_put_field(&text, &n, &room, &(struct tess_field){name, strlen(name)},
                                 between);
            tess_free(name);
        }
    fputs(header, work->sheet.out);
    fwrite(text, 1, n, work->sheet.out);
    if (tess_known_differs(&work->model))
        fprintf(work->sheet.out, "%c" TESS_KNOWN_COLUMN "%c" TESS_KNOWN_DEVIATIONS, between,
                between);
    fputc('\n', work->sheet.out);
    tess_free(text);
}

/* The round's lines, each with what the ranks have made of it behind it. */
static int write_lines(struct work *work, const char *values, struct tess_error *error)
{
    const char *line = work->reader.text, *end = line + work->reader.n_text;

    if (tess_fail_here(error, work->queries->output))
        return error->code;
    while (line < end) {
        size_t n = strlen(line), m = (size_t)(strchr(values, '\n') - values) + 1;

        fwrite(line, 1, n, work->sheet.out);
        fwrite(values, 1, m, work->sheet.out);
        line += n + 1;
        values += m;
        work->n_lines++;
    }
    work->reader.n_text = 0;
    return tess_sheet_check_written(&work->sheet, error);
}

/* ---- setting up ---- */

static int choose_readouts(struct work *work, struct tess_error *error)
{
    const struct tess_model *model = &work->model;
    struct tess_choice choice = tess_choice_of(model, TESS_TABLE_R);

    if (work->reader.column[TESS_QUERY_READOUT].place < 0)
        return tess_select(&choice, &work->queries->readout, &work->readout, error);
    if (work->queries->readout.n > 0)
        tess_error_set(error, TESS_EUSAGE,
                       "%s: its lines name their readouts: --readouts is for queries that do not",
                       work->reader.path);
    return error->code;
}

/* Rank 0's part. Local. */
static int begin(struct work *work, struct tess_error *error)
{
    char *header = NULL;

    if (tess_query_reader_open(&work->reader, work->queries, &work->model, &header, error) ==
            TESS_OK &&
        choose_readouts(work, error) == TESS_OK &&
        tess_sheet_open(&work->sheet, work->queries->output, work->queries->force, error) ==
            TESS_OK)
        write_header(work, header);
    work->separator = work->reader.out_separator;
    tess_free(header);
    return error->code;
}

#define THREAD_BYTES 4e6 /* of each thread's tiles */
#define MERGE_BYTES  100 /* of a line among those with the same row */
#define LINE_BYTES   150 /* of a line and its value as text, on rank 0 */

/* Bytes of a value on its way: numbers, places, sums, text, and the blend's, on its rank; and text
 * on rank 0. */
static double value_bytes(const struct work *work)
{
    double blend = tess_blender_value_bytes(&work->blender, work->readout.n == 0);

    return (tess_model_has_noise(&work->model) ? 12.0 / work->n_ranks : 0) +
           work->n_values * ((90.0 + MERGE_BYTES) / work->n_ranks + LINE_BYTES) +
           blend / work->n_ranks;
}

/* How many values may be on their way, and what is left for the model's rows. */
static int plan_memory(struct work *work, struct tess_error *error)
{
    double own[3] = {tess_platform_memory(0),
                     THREAD_BYTES * omp_get_max_threads() + tess_blender_growth(&work->blender),
                     tess_platform_memory(1)}; /* opening: symbols are there twice for a while */
    double program, given = work->queries->memory, fixed, least, left;
    double width = work->readout.n ? (double)work->readout.n : 1, rows;

    /* Of the rank that needs most: rounds are alike on all, whatever their threads. */
    MPI_Allreduce(MPI_IN_PLACE, own, 3, MPI_DOUBLE, MPI_MAX, work->comm);
    program = own[0];
    fixed = own[0] + own[1] +
            tess_model_working_bytes(&work->model,
                                     work->readout.n ? TESS_MODEL_ROWS : TESS_MODEL_LISTED);
    least = value_bytes(work) * fmax(width * work->n_ranks, 1 << 14);
    left = given - fixed;
    if (given > 0 && (left < least || given < own[2]))
        return tess_error_set(error, TESS_EUSAGE,
                              "--memory: %.4g MB are too little for a rank, which needs %.4g MB, "
                              "%.3g of them for the program with its model",
                              given / 1e6, fmax(fixed + least, own[2]) / 1e6, program / 1e6);
    work->round = ROUND;
    if (given > 0) {
        double on_their_way = fmin(fmax(left / 2, least), ROUND * value_bytes(work));

        work->round = (int64_t)(on_their_way / value_bytes(work));
        tess_model_allow(&work->model, left - on_their_way);
    }
    rows = tess_model_rows_bytes(&work->model);
    tess_info("memory: at most about %.3g MB a rank: %.3g of the program with its model, %.3g of "
              "lines and values on their way, %.3g of rows of perturbations",
              fmax(fixed + (double)work->round * value_bytes(work) + rows, own[2]) / 1e6,
              program / 1e6, (fixed - program + (double)work->round * value_bytes(work)) / 1e6,
              rows / 1e6);
    return TESS_OK;
}

/* Collective. */
static void find_calibration(struct work *work)
{
    const char *why;

    work->n_values = 1;
    work->feature_deviation = tess_blender_feature_deviation(&work->blender, work->comm);
    if (!tess_model_deviates(&work->model))
        return;
    why = tess_deviation_find(&work->blender, work->comm, &work->calibration);
    work->n_values = why ? 2 : 3;
    if (why)
        tess_info("the deviation is not calibrated: %s", why);
}

static int open_work(struct work *work, struct tess_error *error)
{
    const struct tess_queries *queries = work->queries;
    const struct tess_blend_request request = {&work->model, queries->store, queries->blend,
                                               queries->memory};

    if (tess_model_open_ensemble(&work->model, queries->n_models, queries->model,
                                 queries->precision, work->comm, error) != TESS_OK ||
        tess_blender_open_store(&work->blender, &work->learned, &request, work->comm, error) !=
            TESS_OK)
        return error->code;
    find_calibration(work);
    if (work->rank == 0)
        begin(work, error);
    if (tess_agree(work->comm, error) != TESS_OK)
        return error->code;
    MPI_Bcast(&work->separator, 1, MPI_CHAR, 0, work->comm);
    tess_sets_broadcast(work->comm, &work->readout);
    return plan_memory(work, error);
}

/* ---- a round ---- */

/* A block for each rank, read by rank 0; of which this rank gets its own, own of the caller. *more:
 * did any have lines? Collective. */
static char *deal(struct work *work, int *more, struct tess_error *error)
{
    int64_t width = work->readout.n ? work->readout.n : 1;
    int64_t most = work->round / width / work->n_ranks;
    char **packed = TESS_NEW(char *, work->n_ranks), *mine = NULL;
    int64_t *bytes = TESS_NEW(int64_t, work->n_ranks);
    struct tess_query_block block = {0};

    most = most < 1 ? 1 : most < LINES ? most : LINES;
    for (int r = 0; r < work->n_ranks && work->rank == 0 && error->code == TESS_OK; r++) {
        work->reader.most_text = (size_t)(work->round * LINE_BYTES / work->n_ranks * (r + 1));
        tess_query_reader_next(&work->reader, most, &block, error);
        *more |= block.n_lines > 0;
        packed[r] = tess_query_block_pack(&block, &bytes[r]);
    }
    if (tess_agree(work->comm, error) == TESS_OK) {
        MPI_Bcast(more, 1, MPI_INT, 0, work->comm);
        tess_model_share(&work->model, work->comm);
        mine = tess_scatter(work->comm, packed, bytes);
    }
    for (int r = 0; r < work->n_ranks; r++)
        tess_free(packed[r]);
    tess_free(packed);
    tess_free(bytes);
    tess_query_block_release(&block);
    return mine;
}

#define VALUE_TEXT 17 /* "\t-1.23456789e-38" */

static char *put_value(char *to, char between, float value)
{
    *to++ = between;
    return to + snprintf(to, VALUE_TEXT, "%.9g", (double)value);
}

/* A line, and where its values are. */
struct answer {
    int64_t row, value; /* of the block; of the first */
    enum tess_known known; /* the least known of its perturbation, context and own readout */
    int by_features; /* does the deviation of what is known by features alone stand for it? */
};

static float calibrated(const struct work *work, const struct answer *answer, float deviation)
{
    if (answer->by_features)
        return (float)work->feature_deviation;
    return (float)tess_calibration_apply(&work->calibration, (double)deviation);
}

/* By what the next known line is known. */
static void look_at(const struct work *work, const struct tess_query_block *block,
                    struct answer *answer)
{
    const struct tess_model *model = &work->model;
    enum tess_known readout = TESS_KNOWN_DATA;
    const int64_t *member;
    int64_t n;

    if (work->readout.n == 0) {
        while (block->readout_first[answer->row + 1] <= answer->value)
            answer->row++;
        readout = tess_known_symbol(model, TESS_TABLE_R, block->readout[answer->value]);
    }
    member = block->member + block->member_first[answer->row];
    n = block->member_first[answer->row + 1] - block->member_first[answer->row];
    answer->known = tess_known_row(model, n, member, block->context[answer->row]);
    answer->known = readout > answer->known ? readout : answer->known;
    answer->by_features = !isnan(work->feature_deviation) && readout == TESS_KNOWN_DATA &&
                          tess_known_has_deviation(model, n, member, block->context[answer->row]);
}

/* NULL: the line is unknown. */
static char *put_way(char *to, const struct work *work, const struct answer *answer)
{
    to += snprintf(to, VALUE_TEXT, "%c%s", work->separator,
                   answer ? tess_known_names[answer->known] : "");
    return put_value(to, work->separator,
                     answer && answer->by_features ? (float)work->feature_deviation : NAN);
}

/* What goes behind each line: its values, of several models the deviations after them. A line takes
 * the next value, or the next row of them; an unknown one NaN. */
static char *text_of(const struct work *work, const struct tess_query_block *block,
                     const float *out, const float *deviation, int64_t *n)
{
    int64_t width = work->readout.n ? work->readout.n : 1;
    int differs = tess_known_differs(&work->model);
    char *text = TESS_NEW(
        char, block->n_lines *((width * work->n_values + 2 * differs) * VALUE_TEXT + 1) + 1);
    char *to = text;
    struct answer answer = {0};

    for (int64_t i = 0; i < block->n_lines; i++) {
        if (block->known[i] && differs)
            look_at(work, block, &answer);
        for (int64_t k = 0; k < width; k++)
            to = put_value(to, work->separator, block->known[i] ? out[k] : NAN);
        for (int64_t k = 0; work->n_values > 1 && k < width; k++)
            to = put_value(to, work->separator, block->known[i] ? deviation[k] : NAN);
        for (int64_t k = 0; work->n_values > 2 && k < width; k++)
            to = put_value(to, work->separator,
                           block->known[i] ? calibrated(work, &answer, deviation[k]) : NAN);
        if (differs)
            to = put_way(to, work, block->known[i] ? &answer : NULL);
        *to++ = '\n';
        answer.value += block->known[i] ? width : 0;
        answer.row += block->known[i] && work->readout.n > 0;
        out += block->known[i] ? width : 0;
        if (block->known[i] && work->n_values > 1)
            deviation += width;
    }
    *n = to - text;
    return text;
}

/* Values in the order of the lines. */
static float *in_order(float *value, const int64_t *place, int64_t n)
{
    float *out;

    if (!value || !place)
        return value;
    out = TESS_NEW(float, n);
    for (int64_t k = 0; k < n; k++)
        out[k] = value[place[k]];
    tess_free(value);
    return out;
}

/* The text of this rank's block, own of the caller. */
static char *predict(struct work *work, const struct tess_query_block *block, int64_t *n,
                     struct tess_error *error)
{
    struct tess_query_block merged = {0};
    int64_t *place = work->readout.n ? NULL : tess_query_block_merge(block, &merged);
    const struct tess_query_block *asked = place ? &merged : block;
    int64_t values =
        work->readout.n ? block->n_rows * work->readout.n : block->readout_first[block->n_rows];
    float *out = TESS_NEW(float, values),
          *deviation = tess_model_deviates(&work->model) ? TESS_NEW(float, values) : NULL;
    const struct tess_rows rows = {asked->n_rows, asked->member_first, asked->member,
                                   asked->context};
    struct tess_model_columns columns = {.n_readouts = work->readout.n,
                                         .readout = work->readout.n ? work->readout.member
                                                                    : asked->readout,
                                         .out = out,
                                         .deviation = deviation,
                                         .first = work->readout.n ? NULL : asked->readout_first};
    char *text = NULL;

    *n = 0;
    if (tess_blender_predict(&work->blender, &rows, &columns, error) == TESS_OK) {
        out = in_order(out, place, values);
        deviation = in_order(deviation, place, values);
        text = text_of(work, block, out, deviation, n);
    }
    tess_query_block_release(&merged);
    tess_free(place);
    tess_free(out);
    tess_free(deviation);
    return text;
}

/* Collective. */
static int do_round(struct work *work, int *more, struct tess_error *error)
{
    struct tess_query_block block;
    char *packed, *mine = NULL, *all = NULL;
    int64_t n = 0, total = 0;

    *more = 0;
    packed = deal(work, more, error);
    if (error->code != TESS_OK)
        return error->code;
    tess_query_block_view(&block, packed);
    mine = predict(work, &block, &n, error);
    if (tess_agree(work->comm, error) == TESS_OK) {
        MPI_Reduce(&n, &total, 1, MPI_INT64_T, MPI_SUM, 0, work->comm);
        all = work->rank == 0 ? TESS_NEW(char, total + 1) : NULL;
        tess_gather(work->comm, mine, n, 1, all);
        if (work->rank == 0)
            write_lines(work, all, error);
    }
    tess_free(packed);
    tess_free(mine);
    tess_free(all);
    return tess_agree(work->comm, error);
}

static void release(struct work *work)
{
    tess_sheet_release(&work->sheet);
    tess_query_reader_release(&work->reader);
    tess_sets_release(&work->readout);
    tess_blender_release(&work->blender);
    tess_blend_store_release(&work->learned);
    tess_model_release(&work->model);
}

int tess_queries_run(const struct tess_queries *queries, MPI_Comm comm, struct tess_error *error)
{
    struct work work = {.queries = queries, .comm = comm};
    struct tess_progress progress;
    int more = 1;

    MPI_Comm_rank(comm, &work.rank);
    MPI_Comm_size(comm, &work.n_ranks);
    tess_platform_threads(queries->threads);
    tess_progress_init(&progress, "predicting", "lines", 0);
    if (open_work(&work, error) == TESS_OK)
        while (more && do_round(&work, &more, error) == TESS_OK)
            tess_progress_show(&progress, work.n_lines);
    tess_progress_release(&progress);
    if (error->code == TESS_OK && work.rank == 0 &&
        tess_sheet_finish(&work.sheet, error) == TESS_OK)
        tess_info("%lld line%s predicted", (long long)work.n_lines, work.n_lines == 1 ? "" : "s");
    release(&work);
    return tess_agree(comm, error);
}
