/* Error codes of ScaleFS: one table, from which the enum, the names and the sentences are made.
 *
 * Every call of the library that can fail returns one of these as an int; 0 is success. Drivers map
 * them to errno or NTSTATUS once, at their edge, by class.
 */
#ifndef SCALEFS_ERROR_H
#define SCALEFS_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, number, errno-name on POSIX, sentence) */
#define SCALEFS_ERRORS(X)                                                                          \
    X(OK, 0, 0, "done")                                                                            \
    X(NOMEM, 1, ENOMEM, "not enough memory")                                                       \
    X(INVAL, 2, EINVAL, "an argument is not valid")                                                \
    X(IO, 3, EIO, "a device reported an input/output error")                                       \
    X(GONE, 4, EIO, "a disk has disappeared")                                                      \
    X(CORRUPT, 5, EIO, "data failed verification and could not be rebuilt")                        \
    X(NOSPC, 6, ENOSPC, "the pool is full")                                                        \
    X(BACKING_FULL, 7, ENOSPC, "the file system below a file-backed disk is full")                 \
    X(SUSPENDED, 8, EIO, "too many disks are absent; the pool waits for them")                     \
    X(NOENT, 9, ENOENT, "no such file, disk or pool")                                              \
    X(EXIST, 10, EEXIST, "it exists already")                                                      \
    X(NOTDIR, 11, ENOTDIR, "not a directory")                                                      \
    X(ISDIR, 12, EISDIR, "is a directory")                                                         \
    X(NOTEMPTY, 13, ENOTEMPTY, "the directory is not empty")                                       \
    X(NAMETOOLONG, 14, ENAMETOOLONG, "the name is too long (255 bytes at most)")                   \
    X(FBIG, 15, EFBIG, "the file would be too large")                                              \
    X(MLINK, 16, EMLINK, "too many links")                                                         \
    X(ACCESS, 17, EACCES, "permission denied")                                                     \
    X(PERM, 18, EPERM, "operation not permitted")                                                  \
    X(BUSY, 19, EBUSY, "in use")                                                                   \
    X(ROFS, 20, EROFS, "the pool is open for reading only")                                        \
    X(NODATA, 21, ENODATA, "no such attribute or data")                                            \
    X(RANGE, 22, ERANGE, "the buffer is too small")                                                \
    X(NOTSUP, 23, EOPNOTSUPP, "not supported")                                                     \
    X(STALE, 24, ESTALE, "the file is gone")                                                       \
    X(NXIO, 25, ENXIO, "no data beyond this place")                                                \
    X(TOOBIG, 26, E2BIG, "the value is too large")                                                 \
    X(NOT_A_POOL, 27, EINVAL, "this disk does not carry a ScaleFS pool")                           \
    X(FOREIGN, 28, EEXIST, "the disk carries something else")                                      \
    X(VERSION, 29, EPROTONOSUPPORT, "written by a newer ScaleFS, which this one cannot read")      \
    X(TOO_SMALL, 30, EINVAL, "the disk is too small")                                              \
    X(TOO_FEW, 31, EINVAL, "there are too few disks for this failover")                            \
    X(MISSING, 32, ENODEV, "disks are missing; the newest state cannot be proven")                 \
    X(DIVERGED, 33, ENOTUNIQ, "the disks were written apart; choose which half to keep")           \
    X(OTHER_HOST, 34, EREMOTE, "last used by another computer and not exported")                   \
    X(AMBIGUOUS, 35, ENOTUNIQ, "several pools have this name; use the UUID")                       \
    X(WRONG_DISK, 36, EINVAL, "the disk belongs to another pool")                                  \
    X(CANCELED, 37, ECANCELED, "cancelled")                                                        \
    X(NEED_NODE, 38, EAGAIN, "a tree node must be read first (internal)")                          \
    X(CHANGED, 39, EAGAIN, "it changed meanwhile (internal)")                                      \
    X(TIMEDOUT, 40, ETIMEDOUT, "timed out")                                                        \
    X(PROTOCOL, 41, EPROTO, "the other side does not speak this protocol")

enum scalefs_error {
#define SCALEFS_ERROR_ENUM(name, number, errno_name, sentence) SCALEFS_E_##name = number,
    SCALEFS_ERRORS(SCALEFS_ERROR_ENUM)
#undef SCALEFS_ERROR_ENUM
};
#define SCALEFS_OK 0

/* The name ("NOSPC") and the sentence of an error. Never NULL. */
const char *scalefs_error_name(int error);
const char *scalefs_error_text(int error);

/* What went wrong in detail. The caller owns it; calls that take one fill it on failure only.
 * `text` is one or more whole sentences in plain words: what was asked, why not, what would work. */
struct scalefs_error_info {
    int error;
    char text[1024];
};

#ifdef __cplusplus
}
#endif
#endif
