// Counts the calls that read files below a folder, and lets one of them fail. Built and loaded by test_unreadable.py, with LD_PRELOAD.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[1000]; // The folder; empty where nothing is counted
static long calls, target; // Calls so far; the one that fails
static int code, requests_failed; // Its error number; asynchronous reads that still have to fail
static char failed[1000], what[32]; // The path and the kind of the call that failed

void begin(const char *folder, long at, int error) {
    snprintf(root, sizeof root, "%s", folder);
    calls = 0, target = at, code = error, requests_failed = 0, failed[0] = 0, what[0] = 0;
}
long end(void) { root[0] = 0; return calls; }
const char *failed_path(void) { return failed; }
const char *failed_call(void) { return what; }

static int fails_at(const char *path, const char *call) {
    if (!root[0] || !path || strncmp(path, root, strlen(root))) return 0;
    if (__sync_add_and_fetch(&calls, 1) != target) return 0;
    snprintf(failed, sizeof failed, "%s", path);
    snprintf(what, sizeof what, "%s", call);
    errno = code;
    return 1;
}
static int fails(int fd, const char *call) {
    char link[40], path[1000];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return fails_at(path, call);
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define OPENS(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); REAL(name); \
    return !(flags & (O_CREAT | O_WRONLY | O_RDWR)) && fails_at(path, "open") ? -1 : real(path, flags, mode); }
#define OPENS_AT(name) int name(int folder, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); REAL(name); \
    return !(flags & (O_CREAT | O_WRONLY | O_RDWR)) && fails_at(path, "open") ? -1 : real(folder, path, flags, mode); }
OPENS(open) OPENS(open64) OPENS_AT(openat) OPENS_AT(openat64)
#define OPENS_STREAM(name) FILE *name(const char *path, const char *mode) { REAL(name); \
    return mode[0] == 'r' && fails_at(path, "open") ? NULL : real(path, mode); }
OPENS_STREAM(fopen) OPENS_STREAM(fopen64)
DIR *opendir(const char *path) { REAL(opendir); return fails_at(path, "opendir") ? NULL : real(path); }

#define STATS(name, type) int name(const char *path, struct type *to) { REAL(name); return fails_at(path, "stat") ? -1 : real(path, to); }
STATS(stat, stat) STATS(lstat, stat) STATS(stat64, stat64) STATS(lstat64, stat64)
#define STATS_OPEN(name, type) int name(int fd, struct type *to) { REAL(name); return fails(fd, "fstat") ? -1 : real(fd, to); }
STATS_OPEN(fstat, stat) STATS_OPEN(fstat64, stat64)
#define STATS_AT(name, type) int name(int folder, const char *path, struct type *to, int flags) { REAL(name); \
    return fails_at(path, "stat") ? -1 : real(folder, path, to, flags); }
STATS_AT(fstatat, stat) STATS_AT(fstatat64, stat64)

ssize_t read(int fd, void *to, size_t n) { REAL(read); return fails(fd, "read") ? -1 : real(fd, to, n); }
ssize_t pread(int fd, void *to, size_t n, off_t at) { REAL(pread); return fails(fd, "read") ? -1 : real(fd, to, n, at); }
ssize_t pread64(int fd, void *to, size_t n, off64_t at) { REAL(pread64); return fails(fd, "read") ? -1 : real(fd, to, n, at); }
ssize_t readv(int fd, const struct iovec *to, int n) { REAL(readv); return fails(fd, "read") ? -1 : real(fd, to, n); }
ssize_t preadv(int fd, const struct iovec *to, int n, off_t at) { REAL(preadv); return fails(fd, "read") ? -1 : real(fd, to, n, at); }
ssize_t preadv64(int fd, const struct iovec *to, int n, off64_t at) { REAL(preadv64); return fails(fd, "read") ? -1 : real(fd, to, n, at); }
ssize_t preadv2(int fd, const struct iovec *to, int n, off_t at, int flags) {
    REAL(preadv2); return fails(fd, "read") ? -1 : real(fd, to, n, at, flags); }
ssize_t preadv64v2(int fd, const struct iovec *to, int n, off64_t at, int flags) {
    REAL(preadv64v2); return fails(fd, "read") ? -1 : real(fd, to, n, at, flags); }
size_t fread(void *to, size_t size, size_t n, FILE *f) {
    REAL(fread);
    if (!fails(fileno(f), "read")) return real(to, size, n, f);
    f->_flags |= 0x20; // What `ferror` looks at
    return 0;
}
void *mmap(void *at, size_t n, int mode, int flags, int fd, off_t from) {
    REAL(mmap); return fd >= 0 && fails(fd, "mmap") ? MAP_FAILED : real(at, n, mode, flags, fd, from); }
void *mmap64(void *at, size_t n, int mode, int flags, int fd, off64_t from) {
    REAL(mmap64); return fd >= 0 && fails(fd, "mmap") ? MAP_FAILED : real(at, n, mode, flags, fd, from); }

// Asynchronous reads: a request counts when it is submitted, and fails when its result is fetched
struct request { unsigned long data; unsigned key, flags; unsigned short op; short priority; unsigned fd; };
struct event { unsigned long data, request; long result, more; };
long syscall(long number, ...) {
    long a[6];
    va_list rest; va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    REAL(syscall);
    if (root[0] && number == SYS_io_submit)
        for (long i = 0; i < a[1]; i++) requests_failed += fails(((struct request **)a[2])[i]->fd, "io_submit");
    long res = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (root[0] && number == SYS_io_getevents && res > 0 && requests_failed && requests_failed--) ((struct event *)a[3])[0].result = -code;
    return res;
}
