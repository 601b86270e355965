/* The clock of Betaflight's SITL is that of the vehicle behind it. Loaded with LD_PRELOAD by vehicle_time.py.
 *
 * The socket SPIKE_CTRL_TIME carries spans of time (ns, int64). The firmware's main loop, which sleeps between its turns,
 * goes on until the span is over, answers with its time, and waits for the next one. Before the first span the clock is the
 * computer's. Reading the clock takes READING ns of the main loop's time, so that a loop that waits for it ends.
 *
 * With each span comes a packet of the vehicle's motion, which a thread of the firmware takes. The main loop waits for that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READING = 200, SECOND = 1000000000, SEND_EVERY = 300 }; /* ns, ns, us */
enum { MOTION = 144, LOOK = 20000, LOOKS = 20000, SETTLE = 5000000 }; /* bytes of a packet; ns, times, and ns, to wait for it */

static int line = -1;
static __thread int is_main;
static _Atomic int64_t now;
static _Atomic int granted_once;
static int64_t end;
static __thread int holds_motion;
static _Atomic int64_t motions; /* that were taken */
static int64_t wanted;
static int flows; /* whether each span has had its packet */
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_sleep)(const struct timespec *, struct timespec *);
static ssize_t (*real_recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
static int (*real_select)(int, fd_set *, fd_set *, fd_set *, struct timeval *);

static void find(void)
{
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_sleep = dlsym(RTLD_NEXT, "nanosleep");
    real_select = dlsym(RTLD_NEXT, "select");
    real_recvfrom = dlsym(RTLD_NEXT, "recvfrom");
}

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("SPIKE_CTRL_TIME");
    find();
    is_main = 1;
    line = name ? atoi(name) : -1;
}

static void rest(long ns)
{
    struct timespec t = {0, ns};
    real_sleep(&t, NULL);
}

static void await_motion(void)
{
    if (flows) {
        wanted++;
        for (int n = 0; n < LOOKS && motions < wanted; n++) rest(LOOK);
        flows = motions >= wanted;
    } else if (motions > wanted) { /* the first ones, or again after a pause */
        rest(SETTLE);
        flows = 1;
        wanted = motions;
    }
}

static void take(int flags)
{
    int64_t span;
    ssize_t got = recv(line, &span, sizeof span, flags);
    if (got == sizeof span) {
        if (!granted_once) {
            struct timespec t;
            real_gettime(CLOCK_MONOTONIC, &t);
            now = end = (int64_t)t.tv_sec * SECOND + t.tv_nsec;
            granted_once = 1;
        }
        end += span;
        await_motion();
    } else if (got == 0 || !flags) {
        _exit(0); /* the simulation has ended */
    }
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (!real_gettime) find();
    if (id != CLOCK_MONOTONIC || !granted_once) return real_gettime(id, t);
    int64_t read = is_main ? atomic_fetch_add(&now, READING) + READING : now;
    t->tv_sec = read / SECOND;
    t->tv_nsec = read % SECOND;
    return 0;
}

int nanosleep(const struct timespec *asked, struct timespec *left)
{
    if (!is_main || line < 0) return real_sleep(asked, left);
    if (!granted_once) take(MSG_DONTWAIT);
    if (!granted_once) return real_sleep(asked, left);
    now += (int64_t)asked->tv_sec * SECOND + asked->tv_nsec;
    while (now >= end) {
        int64_t reached = now;
        if (send(line, &reached, sizeof reached, MSG_NOSIGNAL) < 0) _exit(0);
        take(0);
    }
    return 0;
}

/* Its thread for TCP sends what the main loop has written when its wait ends, 10 ms of the computer's time later. */
int select(int most, fd_set *read, fd_set *write, fd_set *wrong, struct timeval *wait)
{
    if (!real_select) find();
    if (holds_motion) {
        holds_motion = 0;
        motions++;
    }
    if (granted_once && wait && !wait->tv_sec && wait->tv_usec > SEND_EVERY && wait->tv_usec <= 10000)
        wait->tv_usec = SEND_EVERY;
    return real_select(most, read, write, wrong, wait);
}

ssize_t recvfrom(int fd, void *to, size_t most, int flags, struct sockaddr *from, socklen_t *length)
{
    if (!real_recvfrom) find();
    ssize_t got = real_recvfrom(fd, to, most, flags, from, length);
    if (got == MOTION) holds_motion = 1;
    return got;
}
