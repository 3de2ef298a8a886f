/* Makes the disk refuse: from the FAULTS_AT-th call on that writes below FAULTS_UNDER, FAULTS_FOR calls fail with
   FAULTS_ERRNO. Calls are counted for each process. Loaded before the C library (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/stat.h>
#include <unistd.h>

static long number(const char *name) { const char *text = getenv(name); return text ? atol(text) : 0; }

static int below(const char *path) {
    const char *under = getenv("FAULTS_UNDER");
    return under && path && strncmp(path, under, strlen(under)) == 0;
}

static int below_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!getenv("FAULTS_UNDER")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int refused(void) {
    static long calls = 0;
    long call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED), at = number("FAULTS_AT"), count = number("FAULTS_FOR");
    if (at == 0 || call < at || call >= at + count) return 0;
    errno = (int)number("FAULTS_ERRNO");
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    if (fd > 2 && below_fd(fd) && refused()) {
        if (count > 1 && number("FAULTS_SHORT")) return real(fd, bytes, count / 2);
        return -1;
    }
    return real(fd, bytes, count);
}

int fsync(int fd) { REAL(fsync); return below_fd(fd) && refused() ? -1 : real(fd); }
int ftruncate(int fd, off_t length) { REAL(ftruncate); return below_fd(fd) && refused() ? -1 : real(fd, length); }
int ftruncate64(int fd, off_t length) { REAL(ftruncate64); return below_fd(fd) && refused() ? -1 : real(fd, length); }
int rename(const char *from, const char *to) { REAL(rename); return below(to) && refused() ? -1 : real(from, to); }
int unlink(const char *path) { REAL(unlink); return below(path) && refused() ? -1 : real(path); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return below(path) && refused() ? -1 : real(path, mode); }

static int opens(int flags, const char *path) { return (flags & (O_CREAT | O_WRONLY | O_RDWR)) && below(path) && refused(); }

#define OPEN(name)                                                      \
    int name(const char *path, int flags, ...) {                        \
        REAL(name);                                                     \
        va_list rest; va_start(rest, flags);                            \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;       \
        va_end(rest);                                                   \
        return opens(flags, path) ? -1 : real(path, flags, mode);       \
    }
OPEN(open)
OPEN(open64)
