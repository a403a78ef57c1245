/*
 * Preloaded library that lets a disk fill up or fail, for one folder and one process, and
 * turns the clock.
 *
 *   FAULT_FOLDER  Absolute path; other files are not affected.
 *   FAULT_ERRNO   The error, as a number.
 *   FAULT_CALLS   Which calls fail: `grow` (a write that makes a file longer), `write`,
 *                 `sync`, `read` or `open` (for writing; also rename, unlink, mkdir).
 *   FAULT_AFTER   Bytes (`grow`) or calls (the others) that succeed before that.
 *
 *   FAULT_CLOCK   Seconds by which the clock is ahead; negative if it is behind.
 *
 * All later calls of the kind fail, as on a disk that stays full.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *folder, *calls;
static size_t folder_length;
static int error_number;
static _Atomic long long left;
static long long ahead;

__attribute__((constructor)) static void read_environment(void)
{
    const char *after = getenv("FAULT_AFTER"), *number = getenv("FAULT_ERRNO");
    const char *clock = getenv("FAULT_CLOCK");
    ahead = clock ? atoll(clock) : 0;
    folder = getenv("FAULT_FOLDER");
    calls = getenv("FAULT_CALLS");
    folder_length = folder ? strlen(folder) : 0;
    error_number = number ? atoi(number) : 0;
    left = after ? atoll(after) : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_of(const char *kind)
{
    return folder && calls && !strcmp(calls, kind);
}

static int is_in_folder(const char *path)
{
    char absolute[PATH_MAX];
    if (path[0] != '/') {
        if (!getcwd(absolute, sizeof absolute))
            return 0;
        path = absolute;
    }
    return !strncmp(path, folder, folder_length);
}

static int is_file(int fd)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return path[0] == '/' && is_in_folder(path);
}

/* Return whether a call fails, and count it. */
static int fails(long long cost)
{
    if (cost <= 0 || atomic_fetch_sub(&left, cost) >= cost)
        return 0;
    errno = error_number;
    return 1;
}

static int write_fails(int fd, size_t count, off_t offset)
{
    struct stat status;
    if (is_of("write"))
        return is_file(fd) && fails(1);
    if (!is_of("grow") || !is_file(fd) || fstat(fd, &status) || !S_ISREG(status.st_mode))
        return 0;
    if (offset < 0)
        offset = fcntl(fd, F_GETFL) & O_APPEND ? status.st_size
                                               : lseek(fd, 0, SEEK_CUR);
    return fails((long long)offset + (long long)count - status.st_size);
}

static size_t bytes_of(const struct iovec *parts, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    return bytes;
}

ssize_t write(int fd, const void *data, size_t count)
{
    return write_fails(fd, count, -1) ? -1 : REAL(write)(fd, data, count);
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t offset)
{
    return write_fails(fd, count, offset) ? -1 : REAL(pwrite)(fd, data, count, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset)
{
    return write_fails(fd, count, offset) ? -1
                                          : REAL(pwrite64)(fd, data, count, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_fails(fd, bytes_of(parts, count), -1) ? -1
                                                       : REAL(writev)(fd, parts, count);
}

#define READ_FAILS(fd) (is_of("read") && is_file(fd) && fails(1))
ssize_t read(int fd, void *data, size_t count)
{
    return READ_FAILS(fd) ? -1 : REAL(read)(fd, data, count);
}
ssize_t pread(int fd, void *data, size_t count, off_t offset)
{
    return READ_FAILS(fd) ? -1 : REAL(pread)(fd, data, count, offset);
}
ssize_t pread64(int fd, void *data, size_t count, off64_t offset)
{
    return READ_FAILS(fd) ? -1 : REAL(pread64)(fd, data, count, offset);
}

#define SYNC_FAILS(fd) (is_of("sync") && is_file(fd) && fails(1))
int fsync(int fd)
{
    return SYNC_FAILS(fd) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd)
{
    return SYNC_FAILS(fd) ? -1 : REAL(fdatasync)(fd);
}

#define CHANGE_FAILS(path) (is_of("open") && is_in_folder(path) && fails(1))
#define OPEN(name, parameters, arguments)                                            \
    int name parameters                                                              \
    {                                                                                \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = va_arg(rest, mode_t);                                          \
        va_end(rest);                                                                \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT) && CHANGE_FAILS(path))             \
            return -1;                                                               \
        return REAL(name) arguments;                                                 \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))
int rename(const char *from, const char *to)
{
    return CHANGE_FAILS(to) ? -1 : REAL(rename)(from, to);
}
int unlink(const char *path)
{
    return CHANGE_FAILS(path) ? -1 : REAL(unlink)(path);
}
int mkdir(const char *path, mode_t mode)
{
    return CHANGE_FAILS(path) ? -1 : REAL(mkdir)(path, mode);
}

int clock_gettime(clockid_t id, struct timespec *at)
{
    int result = REAL(clock_gettime)(id, at);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        at->tv_sec += ahead;
    return result;
}
int gettimeofday(struct timeval *at, void *zone)
{
    int result = REAL(gettimeofday)(at, zone);
    if (!result)
        at->tv_sec += ahead;
    return result;
}
time_t time(time_t *at)
{
    time_t seconds = REAL(time)(NULL) + ahead;
    if (at)
        *at = seconds;
    return seconds;
}
