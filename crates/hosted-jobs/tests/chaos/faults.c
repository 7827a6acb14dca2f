// A library for LD_PRELOAD. At the n-th change of a file of the database, the process dies or the call fails.
//
// FAULT_AT is n. FAULT is `die` (before the call), `tear` (after half of a write) or `fail` (the call fails with EIO). The files
// are those whose path contains `/jobs.db`. FAULT_COUNT names a file to which the number of changes is written at the end.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long changes;

static int is_ours(int fd) {
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/jobs.db") != NULL;
}

static int is(const char *fault) {
    const char *wanted = getenv("FAULT");
    return wanted && strcmp(wanted, fault) == 0;
}

static int is_the_one(void) {
    const char *at = getenv("FAULT_AT");
    return __sync_add_and_fetch(&changes, 1) == (at ? atol(at) : 0);
}

static void die(void) { kill(getpid(), SIGKILL); }

// Returns 1 if the call must fail.
static int before(int ours) {
    if (!ours || !is_the_one()) return 0;
    if (is("fail")) { errno = EIO; return 1; }
    die();
    return 0;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name);

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t)
    if (!is_ours(fd) || !is_the_one()) return real(fd, data, size);
    if (is("fail")) { errno = EIO; return -1; }
    if (is("tear")) real(fd, data, size / 2);
    die();
    return -1;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
    if (!is_ours(fd) || !is_the_one()) return real(fd, data, size, offset);
    if (is("fail")) { errno = EIO; return -1; }
    if (is("tear")) real(fd, data, size / 2, offset);
    die();
    return -1;
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int)
    return before(is_ours(fd)) ? -1 : real(fd);
}

int fsync(int fd) {
    REAL(int, "fsync", int)
    return before(is_ours(fd)) ? -1 : real(fd);
}

int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t)
    return before(is_ours(fd)) ? -1 : real(fd, size);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *)
    return before(strstr(path, "/jobs.db") != NULL) ? -1 : real(path);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("FAULT_COUNT");
    if (!path) return;
    FILE *file = fopen(path, "w");
    if (!file) return;
    fprintf(file, "%ld", changes);
    fclose(file);
}
