/* h5.c -- HDF5 behind our errors. Handles are closed on every path; HDF5's reasons come from its
 * error stack, innermost first. */
#include "tessera/h5.h"

#include "h5_claim.h"
#include "lzf.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES                                                                                \
    ((int64_t)256 << 20) /* MPI counts are 32-bit; some layers fail silently above */

#define VISIBLE_TENTHS 350 /* of a second; NFS believes for 30 s that a file is not there */

#define RESERVE_BYTES ((int64_t)1 << 20) /* smaller datasets are not worth it */

void tess_h5_init(void)
{
    H5dont_atexit();
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    tess_lzf_register();
}

static int settle(const struct tess_h5 *h5, struct tess_error *error)
{
    return h5->comm == MPI_COMM_NULL ? error->code : tess_agree(h5->comm, error);
}

/* The same after a write. What one rank could not write, HDF5 tries again when it flushes, out of
 * step with the others: such a file must not be touched again. */
int tess_h5_settle(struct tess_h5 *h5, struct tess_error *error)
{
    settle(h5, error);
    h5->broken |= error->code != TESS_OK && h5->comm != MPI_COMM_NULL;
    return error->code;
}

/* H5F_CLOSE_STRONG: closing the file closes whatever is still open in it, after an error too. */
static hid_t access_list(MPI_Comm comm)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);

    if (comm != MPI_COMM_NULL)
        H5Pset_fapl_mpio(list, comm, MPI_INFO_NULL);
    H5Pset_fclose_degree(list, H5F_CLOSE_STRONG);
    return list;
}

/* Why a file cannot be opened is found out here: what MPI says of it differs and may be nothing. */
static int look(const char *path, int writable, struct tess_error *error)
{
    char head[TESS_COMMIT_MARK_SIZE];
    FILE *file;
    size_t n;

    if (tess_fail_here(error, path))
        return error->code;
    file = fopen(path, writable ? "r+b" : "rb");
    if (!file)
        return tess_error_set(error, writable && errno != ENOENT ? TESS_ECREATE : TESS_EDATA,
                              "%s: cannot %s: %s", path,
                              writable ? "be opened for writing" : "open", strerror(errno));
    errno = 0;
    n = fread(head, 1, sizeof head, file);
    if (n == 0)
        tess_error_set(error, TESS_EDATA, "%s: %s", path,
                       errno ? strerror(errno) : "the file is empty");
    else if (n == sizeof head && memcmp(head, TESS_COMMIT_MARK, n) == 0)
        tess_error_set(error, TESS_EDATA, "%s: " TESS_COMMIT_UNFINISHED, path);
    fclose(file);
    return error->code;
}

static herr_t find_mark(unsigned n, const H5E_error2_t *entry, void *found)
{
    (void)n;
    if (entry->desc && strstr(entry->desc, "already open"))
        *(int *)found = 1;
    return 0;
}

/* Why HDF5 did not open a file that is there: somebody else's lock, the mark of a writer in it, no
 * locks on this file system, or the file itself. The first and the third are found out by asking
 * for the same lock that HDF5 asks for. Writers of HDF5 hold one, and so do readers. */
static void refuse_open(const struct tess_h5 *h5, int writable, struct tess_error *error)
{
    int file = open(h5->path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC), marked = 0, why = 0;

    if (file >= 0 && flock(file, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
        why = errno;
    if (file >= 0)
        close(file);
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, find_mark, &marked);
    if (file < 0 && writable)
        tess_error_set(error, TESS_ECREATE, "%s: cannot be opened for writing: %s", h5->path,
                       strerror(errno));
    else if (why == EWOULDBLOCK)
        tess_error_set(
            error, TESS_EDATA,
            "%s: another program has it open%s (a notebook, h5py, tessera): wait until it "
            "is done, or close the file there",
            h5->path, writable ? "" : " for writing");
    else if (marked)
        tess_error_set(error, TESS_EDATA,
                       "%s: is marked as being written: another program has it open, or did not "
                       "close it when it ended; once none writes to it, h5clear -s '%s' takes the "
                       "mark away",
                       h5->path, h5->path);
    else if (why != 0 && why != EINTR)
        tess_h5_fail(h5, NULL,
                     "this file system has no locks: set HDF5_USE_FILE_LOCKING=FALSE to read it "
                     "without",
                     TESS_EDATA, error);
    else
        tess_h5_fail(h5, NULL, "not a readable HDF5 file: truncated, damaged or of another kind",
                     TESS_EDATA, error);
    H5Eclear2(H5E_DEFAULT);
}

int tess_h5_recognize(const char *head, size_t n_head)
{
    static const char signature[] = "\x89HDF\r\n\x1a\n";

    /* a user block of 512 · 2ⁱ bytes may stand before it */
    for (size_t at = 0; at + 8 <= n_head; at = at ? 2 * at : 512)
        if (memcmp(head + at, signature, 8) == 0)
            return 1;
    return 0;
}

/* A file of several ranks that one of them could not open is closed by none: closing is collective.
 */
static int settle_open(struct tess_h5 *h5, struct tess_error *error)
{
    if (settle(h5, error) != TESS_OK && h5->comm != MPI_COMM_NULL)
        h5->broken = 1;
    return error->code;
}

int tess_h5_open(struct tess_h5 *h5, const char *path, MPI_Comm comm, int writable,
                 struct tess_error *error)
{
    hid_t list;

    *h5 = (struct tess_h5){H5I_INVALID_HID, comm, tess_strdup(path), 0};
    look(path, writable, error);
    if (settle(h5, error) != TESS_OK)
        return error->code;
    list = access_list(comm);
    h5->file = H5Fopen(path, writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, list);
    if (h5->file < 0)
        refuse_open(h5, writable, error);
    H5Pclose(list);
    return settle_open(h5, error);
}

static int directory_is_there(const char *path)
{
    char *directory = tess_strdup(path), *slash = strrchr(directory, '/');
    int there;

    if (slash)
        *slash = '\0';
    there = !slash || slash == directory || access(directory, F_OK) == 0;
    tess_free(directory);
    return there;
}

/* HDF5 could not create it: the system is asked why, for MPI's words differ and may be none. */
static void create_failed(const struct tess_h5 *h5, struct tess_error *error)
{
    int file = open(h5->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (file < 0) {
        H5Eclear2(H5E_DEFAULT);
        tess_error_set(error, TESS_ECREATE, "%s: cannot be created: %s", h5->path, strerror(errno));
    } else {
        close(file);
        tess_h5_fail(h5, NULL, "cannot be created", TESS_ECREATE, error);
    }
}

/* Rank 0 makes the file, and everybody opens it once: if a rank cannot, MPI_File_open waits for
 * ever. A network file system may show a new file to other hosts only after a while. */
static int make_visible(const struct tess_h5 *h5, struct tess_error *error)
{
    const struct timespec pause = {0, 100000000};
    int rank, file;

    MPI_Comm_rank(h5->comm, &rank);
    if (rank == 0 && error->code == TESS_OK) {
        file = open(h5->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (file < 0)
            tess_error_set(error, TESS_ECREATE, "%s: cannot be created: %s", h5->path,
                           strerror(errno));
        else
            close(file);
    }
    if (settle(h5, error) != TESS_OK)
        return error->code;
    for (int i = 0; (file = open(h5->path, O_RDWR | O_CLOEXEC)) < 0; i++) {
        if (errno != ENOENT || i == VISIBLE_TENTHS || !directory_is_there(h5->path))
            break;
        nanosleep(&pause, NULL);
    }
    if (file < 0)
        tess_error_set(error, TESS_ECREATE,
                       "%s: rank 0 created it, but here it cannot be opened: %s; is it on a file "
                       "system that all hosts share?",
                       h5->path, strerror(errno));
    else
        close(file);
    return settle(h5, error);
}

int tess_h5_create(struct tess_h5 *h5, const char *path, MPI_Comm comm, struct tess_error *error)
{
    hid_t list = access_list(comm);

    *h5 = (struct tess_h5){H5I_INVALID_HID, comm, tess_strdup(path), 0};
    tess_fail_here(error, path);
    if (comm != MPI_COMM_NULL)
        make_visible(h5, error);
    if (settle(h5, error) == TESS_OK) {
        h5->file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, list);
        if (h5->file < 0)
            create_failed(h5, error);
    }
    H5Pclose(list);
    return settle_open(h5, error);
}

int tess_h5_flush(struct tess_h5 *h5, struct tess_error *error)
{
    if (H5Fflush(h5->file, H5F_SCOPE_GLOBAL) < 0)
        tess_h5_fail(h5, NULL, "cannot be written: is the disk full?", TESS_EIO, error);
    return error->code;
}

int tess_h5_close(struct tess_h5 *h5, struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;

    if (h5->file >= 0 && !h5->broken) {
        tess_h5_flush(h5, &mine);
        if (H5Fclose(h5->file) < 0)
            tess_h5_fail(h5, NULL, "cannot be closed: is the disk full?", TESS_EIO, &mine);
        settle(h5, &mine);
    }
    if (mine.code != TESS_OK)
        tess_error_set(error, mine.code, "%s", mine.text);
    tess_free(h5->path);
    *h5 = (struct tess_h5)TESS_H5_INIT;
    return error->code;
}

/* What a name stands for; the call and its struct have other names since HDF5 1.12. */
static H5O_type_t type_of(hid_t file, const char *name)
{
#if H5_VERSION_GE(1, 12, 0)
    H5O_info2_t info;
    herr_t result = H5Oget_info_by_name3(file, name, &info, H5O_INFO_BASIC, H5P_DEFAULT);
#else
    H5O_info_t info;
    herr_t result = H5Oget_info_by_name2(file, name, &info, H5O_INFO_BASIC, H5P_DEFAULT);
#endif
    return result < 0 ? H5O_TYPE_UNKNOWN : info.type;
}

int tess_h5_kind(const struct tess_h5 *h5, const char *name)
{
    char *path = tess_strdup(name);
    int kind = 0, found = 1;

    /* H5Lexists must be asked for every step of the way */
    for (char *slash = strchr(path + 1, '/'); slash && found; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        found = H5Lexists(h5->file, path, H5P_DEFAULT) > 0;
        *slash = '/';
    }
    if (found && (strcmp(name, "/") == 0 || H5Lexists(h5->file, name, H5P_DEFAULT) > 0)) {
        H5O_type_t type = type_of(h5->file, name);

        kind = type == H5O_TYPE_DATASET ? 1 : type == H5O_TYPE_GROUP ? 2 : 0;
    }
    H5Eclear2(H5E_DEFAULT);
    tess_free(path);
    return kind;
}

int tess_h5_is_null(const struct tess_h5 *h5, const char *name)
{
    int is_set = tess_h5_kind(h5, name) == 1, null;
    hid_t set = is_set ? H5Dopen2(h5->file, name, H5P_DEFAULT) : H5I_INVALID_HID;
    hid_t space = set >= 0 ? H5Dget_space(set) : H5I_INVALID_HID;

    null = space >= 0 && H5Sget_simple_extent_type(space) == H5S_NULL;
    if (space >= 0)
        H5Sclose(space);
    if (set >= 0)
        H5Dclose(set);
    return null;
}

/* Select rows [first, first + n) of an open dataset's space. */
static hid_t row_space(hid_t set, int64_t first, int64_t n)
{
    hid_t space = H5Dget_space(set);
    hsize_t start[H5S_MAX_RANK] = {0}, count[H5S_MAX_RANK];

    if (space < 0 || (n > 0 && H5Sget_simple_extent_ndims(space) == 0))
        return space; /* a scalar is its own selection */
    H5Sget_simple_extent_dims(space, count, NULL);
    start[0] = (hsize_t)first;
    count[0] = (hsize_t)n;
    if (n == 0) /* scalars too */
        H5Sselect_none(space);
    else if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) {
        H5Sclose(space);
        return H5I_INVALID_HID;
    }
    return space;
}

/* Between memory and the rows of an open dataset, `row` elements each. */
struct way {
    hid_t set, type, list;
    int64_t row;
    int writes;
};

static herr_t transfer(const struct way *way, struct tess_h5_range range, void *data)
{
    hid_t space = row_space(way->set, range.first, range.n);
    hsize_t length = (hsize_t)(range.n * way->row);
    hid_t memory = H5Screate_simple(1, &length, NULL);
    herr_t result = -1;

    if (range.n == 0 && memory >= 0)
        H5Sselect_none(memory);
    if (space >= 0 && memory >= 0)
        result = way->writes ? H5Dwrite(way->set, way->type, memory, space, way->list, data)
                             : H5Dread(way->set, way->type, memory, space, way->list, data);
    if (memory >= 0)
        H5Sclose(memory);
    if (space >= 0)
        H5Sclose(space);
    return result;
}

static int64_t piece_rows(int64_t row, hid_t type)
{
    int64_t bytes = row * (int64_t)H5Tget_size(type);

    return bytes > 0 && bytes < PIECE_BYTES ? PIECE_BYTES / bytes : 1;
}

int tess_h5_read_rows(const struct tess_h5 *h5, const char *name, hid_t type,
                      struct tess_h5_rows rows, void *out, struct tess_error *error)
{
    int64_t row = rows.extent.n_dims > 1 ? rows.extent.shape[1] : 1, step = piece_rows(row, type);
    int64_t length = rows.extent.n_dims > 0 ? rows.extent.shape[0] : 1;
    hid_t set = tess_h5_claim_open(h5, name, rows.extent, error);
    const struct way way = {set, type, H5P_DEFAULT, row, 0};

    TESS_BUG_IF(rows.first < 0 || rows.n < 0 || rows.first > length - rows.n);
    for (int64_t i = 0; i < rows.n && set >= 0; i += step)
        if (transfer(&way,
                     (struct tess_h5_range){rows.first + i, rows.n - i < step ? rows.n - i : step},
                     (char *)out + i * row * (int64_t)H5Tget_size(type)) < 0) {
            tess_h5_fail(h5, name, "cannot be read", TESS_EDATA, error);
            break;
        }
    if (set >= 0)
        H5Dclose(set);
    return error->code;
}

int tess_h5_read(const struct tess_h5 *h5, const char *name, hid_t type,
                 struct tess_h5_extent extent, void *out, struct tess_error *error)
{
    struct tess_h5_rows all = {extent, 0, extent.n_dims > 0 ? extent.shape[0] : 1};

    return tess_h5_read_rows(h5, name, type, all, out, error);
}

/* Creating is collective in parallel HDF5, with the same arguments on every rank ("Collective
 * Calling Requirements in Parallel HDF5 Applications"). */
int tess_h5_group(struct tess_h5 *h5, const char *name, struct tess_error *error)
{
    hid_t list = H5Pcreate(H5P_LINK_CREATE), group;

    H5Pset_create_intermediate_group(list, 1);
    group = H5Gcreate2(h5->file, name, list, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        tess_h5_fail(h5, name, "the group cannot be created", TESS_EIO, error);
    else
        H5Gclose(group);
    H5Pclose(list);
    return tess_h5_settle(h5, error);
}

/* The new dataset, open; invalid on failure (then `error` is set here). Not yet agreed. */
static hid_t define(struct tess_h5 *h5, const char *name, hid_t type, struct tess_h5_extent extent,
                    struct tess_error *error)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE), layout = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t dims[2] = {(hsize_t)extent.shape[0], (hsize_t)extent.shape[1]};
    hid_t space, set;

    space = extent.n_dims ? H5Screate_simple(extent.n_dims, dims, NULL) : H5Screate(H5S_SCALAR);
    H5Pset_create_intermediate_group(links, 1);
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER); /* every byte is written by us */
    H5Pset_obj_track_times(layout, 0); /* no clock in the file */
    if (h5->comm != MPI_COMM_NULL)
        H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY);
    set = H5Dcreate2(h5->file, name, type, space, links, layout, H5P_DEFAULT);
    if (set < 0)
        tess_h5_fail(h5, name, "cannot be created: is the disk full?", TESS_EIO, error);
    H5Sclose(space);
    H5Pclose(layout);
    H5Pclose(links);
    return set;
}

/* Claims the disk up to the end of a new dataset, where the file system can: a full disk is then
 * rank 0's to find and one sentence, before any rank writes. The file has that size from then on: a
 * write that makes it longer may wait for the file system's journal. */
static void reserve(const struct tess_h5 *h5, hid_t set, struct tess_error *error)
{
    int64_t bytes = (int64_t)H5Dget_storage_size(set);
    haddr_t place = H5Dget_offset(set);
    int rank, file;

    MPI_Comm_rank(h5->comm, &rank);
    if (rank != 0 || bytes < RESERVE_BYTES || place == HADDR_UNDEF)
        return;
    bytes += (int64_t)place;
    file = open(h5->path, O_WRONLY | O_CLOEXEC);
    if (file >= 0 && fallocate(file, 0, 0, (off_t)bytes) < 0 &&
        (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
        tess_error_set(error, TESS_EIO,
                       "%s: is the disk full? there is no room for its %.3g GB: %s", h5->path,
                       (double)bytes / 1e9, strerror(errno));
    if (file >= 0)
        close(file);
}

int tess_h5_define(struct tess_h5 *h5, const char *name, hid_t type, struct tess_h5_extent extent,
                   struct tess_error *error)
{
    hid_t set = define(h5, name, type, extent, error);

    if (set >= 0 && h5->comm != MPI_COMM_NULL)
        reserve(h5, set, error);
    if (set >= 0)
        H5Dclose(set);
    return tess_h5_settle(h5, error);
}

int64_t tess_h5_place(const struct tess_h5 *h5, const char *name, hid_t type,
                      struct tess_error *error)
{
    hid_t set = H5Dopen2(h5->file, name, H5P_DEFAULT), found = set < 0 ? -1 : H5Dget_type(set);
    haddr_t place = found >= 0 && H5Tequal(found, type) > 0 ? H5Dget_offset(set) : HADDR_UNDEF;

    if (place == HADDR_UNDEF)
        tess_h5_fail(h5, name, "is not one piece of the file, as it was defined", TESS_EIO, error);
    if (found >= 0)
        H5Tclose(found);
    if (set >= 0)
        H5Dclose(set);
    return place == HADDR_UNDEF ? -1 : (int64_t)place;
}

int tess_h5_own_handle(const struct tess_h5 *h5, struct tess_error *error)
{
    struct stat theirs, mine;
    void *handle = NULL;
    int own = open(h5->path, O_RDONLY | O_CLOEXEC);

    if (own < 0)
        tess_error_set(error, TESS_EDATA, "%s: cannot open: %s", h5->path, strerror(errno));
    else if (H5Fget_vfd_handle(h5->file, H5P_DEFAULT, &handle) < 0 || !handle ||
             fstat(*(int *)handle, &theirs) < 0 || fstat(own, &mine) < 0 ||
             mine.st_ino != theirs.st_ino || mine.st_dev != theirs.st_dev)
        tess_error_set(error, TESS_EDATA, "%s: another file has taken its place: start again",
                       h5->path);
    if (own >= 0 && error->code != TESS_OK)
        close(own);
    H5Eclear2(H5E_DEFAULT);
    return error->code == TESS_OK ? own : -1;
}

/* Independent: ranks write different numbers of pieces, and collective transfers have to be the
 * same number on every rank. */
static hid_t transfer_list(const struct tess_h5 *h5)
{
    hid_t list = H5Pcreate(H5P_DATASET_XFER);

    if (h5->comm != MPI_COMM_NULL)
        H5Pset_dxpl_mpio(list, H5FD_MPIO_INDEPENDENT);
    return list;
}

/* This rank's part of writing. A row is all that lies behind the first dimension. No early return:
 * what is open gets closed. */
static int put_rows(const struct tess_h5 *h5, const char *name, hid_t type,
                    struct tess_h5_range range, const void *data, struct tess_error *error)
{
    hid_t set = H5Dopen2(h5->file, name, H5P_DEFAULT), list = transfer_list(h5), space;
    hsize_t dims[4] = {1, 1, 1, 1};
    int64_t row = 1, step;
    struct way way;

    tess_fail_here(error, name);
    if (set < 0)
        tess_h5_fail(h5, name, "cannot be opened for writing", TESS_EIO, error);
    space = set < 0 ? -1 : H5Dget_space(set);
    for (int i = 1, n_dims = H5Sget_simple_extent_dims(space, dims, NULL); i < n_dims; i++)
        row *= (int64_t)dims[i];
    step = piece_rows(row, type);
    way = (struct way){set, type, list, row, 1};
    for (int64_t i = 0; i < range.n && error->code == TESS_OK; i += step) {
        const char *from = (const char *)data + i * row * (int64_t)H5Tget_size(type);
        int64_t take = range.n - i < step ? range.n - i : step;

        if (transfer(&way, (struct tess_h5_range){range.first + i, take}, (void *)(uintptr_t)from) <
            0)
            tess_h5_fail(h5, name, "cannot be written: is the disk full?", TESS_EIO, error);
    }
    if (space >= 0)
        H5Sclose(space);
    H5Pclose(list);
    if (set >= 0)
        H5Dclose(set);
    return error->code;
}

int tess_h5_write_rows(struct tess_h5 *h5, const char *name, hid_t type, struct tess_h5_range range,
                       const void *data, struct tess_error *error)
{
    put_rows(h5, name, type, range, data, error);
    return tess_h5_settle(h5, error);
}

int tess_h5_write(struct tess_h5 *h5, const char *name, hid_t type, struct tess_h5_extent extent,
                  const void *data, struct tess_error *error)
{
    int rank = 0;

    if (tess_h5_define(h5, name, type, extent, error) != TESS_OK)
        return error->code;
    if (h5->comm != MPI_COMM_NULL)
        MPI_Comm_rank(h5->comm, &rank);
    return tess_h5_write_rows(h5, name, type,
                              (struct tess_h5_range){0, rank            ? 0
                                                        : extent.n_dims ? extent.shape[0]
                                                                        : 1},
                              data, error);
}

int tess_h5_write_strings(struct tess_h5 *h5, const char *name,
                          const struct tess_h5_strings *strings, struct tess_error *error)
{
    int width = strings->width;
    int64_t n = strings->n;
    char *packed = TESS_NEW(char, n *(width > 0 ? width : 1));
    hid_t type = tess_h5_string_type(width);

    for (int64_t i = 0; i < n && width > 0; i++)
        memcpy(packed + i * width, strings->block + i * strings->stride, (size_t)width);
    tess_h5_write(h5, name, type, TESS_H5_LINE(n), packed, error);
    H5Tclose(type);
    tess_free(packed);
    return error->code;
}
