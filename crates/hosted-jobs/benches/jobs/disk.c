// A library for LD_PRELOAD: a disk on which every synchronisation takes exactly 1 ms. The data itself is in memory.
#define _GNU_SOURCE
#include <time.h>
static void wait_a_millisecond(void) {
    struct timespec time = {0, 1000000};
    nanosleep(&time, 0);
}
int fsync(int fd) { (void)fd; wait_a_millisecond(); return 0; }
int fdatasync(int fd) { (void)fd; wait_a_millisecond(); return 0; }
