// A disk that is full while the file $APIKEY_FULL_DISK is there: no file of a table or of the write-ahead log grows.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) _exit(97);
    return found;
}

// Whether a write up to this offset has no room.
static int has_no_room(int fd, off_t end) {
    const char *full = getenv("APIKEY_FULL_DISK");
    if (!full || access(full, F_OK) != 0) return 0;
    char link[64], path[4096];
    struct stat file;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || end <= file.st_size) return 0;
    path[length] = 0;
    if (!strstr(path, "/base/") && !strstr(path, "/pg_wal/")) return 0;
    errno = ENOSPC;
    return 1;
}

static off_t length_of(const struct iovec *parts, int count) {
    off_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    return length;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at >= 0 && has_no_room(fd, at + length)) return -1;
    return ((ssize_t(*)(int, const void *, size_t))next("write"))(fd, bytes, length);
}

#define AT(name)                                                                       \
    ssize_t name(int fd, const void *bytes, size_t length, off_t at) {                 \
        if (has_no_room(fd, at + length)) return -1;                                   \
        return ((ssize_t(*)(int, const void *, size_t, off_t))next(#name))(fd, bytes, length, at); \
    }
AT(pwrite)
AT(pwrite64)

#define PARTS_AT(name)                                                                 \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t at) {             \
        if (has_no_room(fd, at + length_of(parts, count))) return -1;                  \
        return ((ssize_t(*)(int, const struct iovec *, int, off_t))next(#name))(fd, parts, count, at); \
    }
PARTS_AT(pwritev)
PARTS_AT(pwritev64)
