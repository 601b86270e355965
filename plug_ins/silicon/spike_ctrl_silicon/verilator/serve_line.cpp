// Puts `spike_serial` behind a pseudo-terminal, so that a host talks to the core as to a serial port.
//
// Arguments: FOLDER, with the core's memories; LINK, a path that leads to the pseudo-terminal while this runs; cycles of a
// bit; bytes of a request and of a reply; cycles of the longest step; WATCHDOG_MS and its cycles; FLIPS; SEED.
//
// The core's time passes while it is asked. After WATCHDOG_MS of real time without a request its watchdog's cycles pass at
// once; 0: never. Of a share FLIPS of all bytes, in both directions, a random bit is flipped. SIGUSR1 resets the core for a
// cycle; SIGUSR2 stops and starts its clock, so that it is stuck. SIGINT ends it once it has not been asked for a second,
// so that a flight can land. Prints a line with its process id when it is ready.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "simulated_uart.h"

static volatile sig_atomic_t ending, killed, reset, stuck;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        reset = 1;
    else if (number == SIGUSR2)
        stuck = !stuck;
    else if (number == SIGINT)
        ending = 1;
    else
        killed = 1;
}

static int opened(const char *link)
{
    const int near = posix_openpt(O_RDWR | O_NOCTTY);
    if (near < 0 || grantpt(near) || unlockpt(near))
        return -1;
    const int far = open(ptsname(near), O_RDWR | O_NOCTTY);  // stays open: a host may close and open its end
    termios raw;
    if (far < 0 || tcgetattr(far, &raw))
        return -1;
    cfmakeraw(&raw);
    unlink(link);
    return tcsetattr(far, TCSANOW, &raw) || symlink(ptsname(near), link) ? -1 : near;
}

int main(int count, char **argv)
{
    if (count != 11)
        return 2;
    const char *link = argv[2];
    const size_t request = std::atoi(argv[4]), reply = std::atoi(argv[5]);
    const int divisor = std::atoi(argv[3]), longest = std::atoi(argv[6]), watchdog_ms = std::atoi(argv[7]);
    const double flips = std::atof(argv[9]);
    std::mt19937 dice(std::atoi(argv[10]));
    const auto carried = [&](uint8_t byte) {
        const bool flipped = std::generate_canonical<double, 32>(dice) < flips;
        return static_cast<uint8_t>(flipped ? byte ^ 1 << dice() % 8 : byte);
    };
    struct sigaction action = {};
    action.sa_handler = on_signal;
    for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2})
        sigaction(number, &action, nullptr);
    if (chdir(argv[1]))
        return 1;
    SimulatedUart uart(divisor);
    const int near = opened(link);
    if (near < 0) {
        std::perror(link);
        return 1;
    }
    std::printf("the core answers at %s, process %d\n", link, static_cast<int>(getpid()));
    std::fflush(stdout);
    bool slept = true;
    std::vector<uint8_t> data;
    while (!killed) {
        pollfd line = {near, POLLIN, 0};
        const int pause = data.empty() ? (watchdog_ms && !slept ? watchdog_ms : 1000) : 2;
        const int found = poll(&line, 1, pause);
        if (ending && found == 0 && data.empty())
            break;
        if (reset) {
            reset = 0;
            uart.reset();
        }
        if (found > 0 && data.size() < request) {
            uint8_t some[256];
            const ssize_t came = read(near, some, request - data.size() < 256 ? request - data.size() : 256);
            if (came < 0)
                break;
            data.insert(data.end(), some, some + came);
            if (data.size() < request)
                continue;
        } else if (data.empty()) {
            if (found == 0 && watchdog_ms && !slept && !stuck) {
                uart.pass(std::atol(argv[8]));
                slept = true;
            }
            continue;
        }
        slept = false;
        uart.heard.clear();
        if (!stuck) {
            for (const uint8_t byte : data)
                uart.send(carried(byte));
            uart.quiet = 0;
            while (uart.heard.size() < reply && uart.quiet < (uart.heard.empty() ? longest + 1000 : 40 * divisor))
                uart.tick();
            uart.pass(20 * divisor);  // the last stop bit, and a silence
        }
        data.clear();
        for (uint8_t &byte : uart.heard)
            byte = carried(byte);
        if (!uart.heard.empty() && write(near, uart.heard.data(), uart.heard.size()) < 0)
            break;
    }
    unlink(link);
    return 0;
}
