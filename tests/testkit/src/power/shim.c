// Records what a process does to the files under one directory, in order, and refuses calls on order.
//
// APIKEY_SHIM_ROOT names the directory; APIKEY_SHIM_LOG, if set, the recording. A process adds lines to the recording
// by writing to the path /apikey-shim; they stand between the calls. A text that begins with '!' is an order:
// "!fail CALLS ERRNO AFTER" refuses these calls after so many more have passed ("w" data, "s" sync, "m" names: create,
// rename, remove; "l" lock; in capitals: once), "!ok" refuses nothing any more.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { START, LINE, OPEN, WRITE, SIZE, RENAME, UNLINK, MKDIR, RMDIR, SYNC_BEGIN, SYNC_END, CLOSE, DUP };
enum { MAX = 4096, PLAIN = 0, WATCHED = 1, OUTPUT = 2 };

struct record {
    uint32_t kind;
    int32_t fd;
    uint64_t at;
    uint32_t path;
    uint32_t data;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char watched[MAX];
static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static uint64_t syncs;
static char fail_calls[8];
static int fail_errno;
static long fail_after;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) _exit(97);
    return found;
}

static void put(uint32_t kind, int fd, uint64_t at, const char *path, const void *data, size_t length) {
    if (log_fd < 0) return;
    struct record head = {kind, fd, at, path ? strlen(path) : 0, length};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)data, length}};
    size_t all = sizeof head + head.path + length;
    // Past the wrappers of this file.
    if (syscall(SYS_writev, log_fd, parts, 3) != (ssize_t)all) _exit(98);
}

__attribute__((constructor)) static void start(void) {
    const char *directory = getenv("APIKEY_SHIM_ROOT");
    if (!directory) return;
    root_length = strlen(directory);
    if (root_length >= sizeof root) _exit(96);
    strcpy(root, directory);
    const char *log = getenv("APIKEY_SHIM_LOG");
    if (log) {
        int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        // Out of the way of the numbers that the process sees.
        log_fd = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
        syscall(SYS_close, fd);
        if (log_fd < 0) _exit(95);
    }
    put(START, 0, 0, NULL, NULL, 0);
}

// The absolute path, if it is one of the watched.
static int resolve(int directory, const char *path, char *out) {
    if (!root_length) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= PATH_MAX) return 0;
        strcpy(out, path);
    } else {
        char link[64], base[PATH_MAX];
        if (directory == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if ((size_t)snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return strncmp(out, root, root_length) == 0 && (out[root_length] == '/' || out[root_length] == 0);
}

// Whether this call is to be refused.
static int refused(char call) {
    char upper = call - 'a' + 'A';
    if (!strchr(fail_calls, call) && !strchr(fail_calls, upper)) return 0;
    if (fail_after > 0) {
        fail_after--;
        return 0;
    }
    int once = !strchr(fail_calls, call);
    if (once) fail_calls[0] = 0;
    errno = fail_errno;
    return 1;
}

static void obey(const char *words, size_t length) {
    char text[64] = {0};
    memcpy(text, words, length < sizeof text - 1 ? length : sizeof text - 1);
    fail_calls[0] = 0;
    if (sscanf(text, "!fail %7s %d %ld", fail_calls, &fail_errno, &fail_after) == 3) return;
    fail_calls[0] = 0;
}

static int is(int fd, int what) { return fd >= 0 && fd < MAX && watched[fd] == what; }

static int opened(int directory, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    if (strcmp(path, "/apikey-shim") == 0) {
        int fd = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && fd < MAX) watched[fd] = OUTPUT;
        return fd;
    }
    // A directory that is opened to be listed may be closed by the C library itself, unseen.
    if (!resolve(directory, path, full) || (flags & O_DIRECTORY)) {
        int fd = syscall(SYS_openat, directory, path, flags, mode);
        if (fd >= 0 && fd < MAX) watched[fd] = PLAIN;
        return fd;
    }
    pthread_mutex_lock(&lock);
    struct stat before;
    int fd = -1;
    int new = (flags & O_CREAT) && stat(full, &before) != 0;
    if ((new && refused('m')) || (!new && fail_errno == EROFS && (flags & O_ACCMODE) != O_RDONLY && refused('m'))) goto done;
    fd = syscall(SYS_openat, directory, path, flags, mode);
    if (fd >= MAX) _exit(94);
    if (fd >= 0) {
        watched[fd] = WATCHED;
        put(OPEN, fd, (new ? 1 : 0) | ((flags & O_TRUNC) ? 2 : 0), full, NULL, 0);
    }
done:;
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

// A call on a watched file: done, and recorded, as one.
#define DONE(type, fd, call, work, record) \
    pthread_mutex_lock(&lock); \
    type result = -1; \
    if (!refused(call)) { \
        result = (work); \
        if (result >= 0) { record; } \
    } \
    int error = errno; \
    pthread_mutex_unlock(&lock); \
    errno = error; \
    return result;

static ssize_t written(int fd, const void *data, size_t length) {
    // A disk that fills up takes a part first.
    int nearly = fail_errno == ENOSPC && fail_after == 1 && strchr(fail_calls, 'w') && length > 1;
    ssize_t result = syscall(SYS_write, fd, data, nearly ? length / 2 : length);
    if (result >= 0) put(WRITE, fd, lseek(fd, 0, SEEK_CUR) - result, NULL, data, result);
    return result;
}

ssize_t write(int fd, const void *data, size_t length) {
    if (is(fd, OUTPUT)) {
        pthread_mutex_lock(&lock);
        if (length && *(const char *)data == '!') obey(data, length);
        else put(LINE, 0, 0, NULL, data, length);
        pthread_mutex_unlock(&lock);
        return length;
    }
    if (!is(fd, WATCHED)) return syscall(SYS_write, fd, data, length);
    DONE(ssize_t, fd, 'w', written(fd, data, length), )
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (count > 0 && fd >= 0 && fd < MAX && watched[fd] != PLAIN) {
        // A short write is a write.
        for (int at = 0; at < count; at++) if (parts[at].iov_len) return write(fd, parts[at].iov_base, parts[at].iov_len);
    }
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    if (!is(fd, WATCHED)) return syscall(SYS_pwrite64, fd, data, length, at);
    int nearly = fail_errno == ENOSPC && fail_after == 1 && strchr(fail_calls, 'w') && length > 1;
    DONE(ssize_t, fd, 'w', syscall(SYS_pwrite64, fd, data, nearly ? length / 2 : length, at), put(WRITE, fd, at, NULL, data, result))
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

int ftruncate64(int fd, off64_t length) {
    if (!is(fd, WATCHED)) return syscall(SYS_ftruncate, fd, length);
    DONE(int, fd, 'w', syscall(SYS_ftruncate, fd, length), put(SIZE, fd, length, NULL, NULL, 0))
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

// Not needed so far; a recording that lacked them would be wrong, so they end the process.
#define UNKNOWN(fd) if (is(fd, WATCHED)) _exit(93)
int fallocate64(int fd, int mode, off64_t at, off64_t length) { UNKNOWN(fd); return syscall(SYS_fallocate, fd, mode, at, length); }
int fallocate(int fd, int mode, off_t at, off_t length) { return fallocate64(fd, mode, at, length); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { UNKNOWN(fd); return REAL(pwritev64)(fd, parts, count, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }
ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t length, unsigned flags) {
    UNKNOWN(to);
    return syscall(SYS_copy_file_range, from, in, to, out, length, flags);
}

static int named(uint32_t kind, char *one, char *two, int result) {
    if (result == 0) put(kind, 0, 0, one, two, two ? strlen(two) : 0);
    return result;
}

#define NAMES(directory, path, kind, work) \
    char full[PATH_MAX]; \
    if (!resolve(directory, path, full)) return (work); \
    DONE(int, 0, 'm', named(kind, full, NULL, (work)), )

int mkdirat(int at, const char *path, mode_t mode) { NAMES(at, path, MKDIR, syscall(SYS_mkdirat, at, path, mode)) }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int unlinkat(int at, const char *path, int flags) { NAMES(at, path, (flags & AT_REMOVEDIR) ? RMDIR : UNLINK, syscall(SYS_unlinkat, at, path, flags)) }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    char one[PATH_MAX], two[PATH_MAX];
    int both = resolve(from, old, one) + resolve(to, new, two);
    if (!both) return syscall(SYS_renameat2, from, old, to, new, flags);
    if (both == 1 || (flags & ~1u)) _exit(92);
    DONE(int, 0, 'm', named(RENAME, one, two, syscall(SYS_renameat2, from, old, to, new, flags)), )
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    char full[PATH_MAX];
    if (resolve(to, new, full)) _exit(91);
    return syscall(SYS_linkat, from, old, to, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

// What was written before it began is durable when it has ended. Others go on meanwhile.
static int synced(int fd, int number) {
    if (!is(fd, WATCHED)) return syscall(number, fd);
    pthread_mutex_lock(&lock);
    uint64_t mine = ++syncs;
    int no = refused('s');
    if (!no) put(SYNC_BEGIN, fd, mine, NULL, NULL, 0);
    int error = errno;
    pthread_mutex_unlock(&lock);
    if (no) {
        errno = error;
        return -1;
    }
    int result = syscall(number, fd);
    // So long that other threads come to share it, as on a disk.
    if (log_fd >= 0) usleep(200);
    pthread_mutex_lock(&lock);
    if (result == 0) put(SYNC_END, fd, mine, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int flock(int fd, int operation) {
    if (!is(fd, WATCHED)) return syscall(SYS_flock, fd, operation);
    DONE(int, fd, 'l', syscall(SYS_flock, fd, operation), )
}

int close(int fd) {
    if (fd < 0 || fd >= MAX || watched[fd] == PLAIN) return syscall(SYS_close, fd);
    pthread_mutex_lock(&lock);
    if (watched[fd] == WATCHED) put(CLOSE, fd, 0, NULL, NULL, 0);
    watched[fd] = PLAIN;
    int result = syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static int controlled(int fd, int command, void *argument) {
    int copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    if (!copies || fd < 0 || fd >= MAX || watched[fd] == PLAIN) return syscall(SYS_fcntl, fd, command, argument);
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_fcntl, fd, command, argument);
    if (result >= 0 && result < MAX) {
        watched[result] = watched[fd];
        if (watched[fd] == WATCHED) put(DUP, fd, result, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
#define CONTROL \
    va_list rest; \
    va_start(rest, command); \
    void *argument = va_arg(rest, void *); \
    va_end(rest); \
    return controlled(fd, command, argument);
int fcntl(int fd, int command, ...) { CONTROL }
int fcntl64(int fd, int command, ...) { CONTROL }
