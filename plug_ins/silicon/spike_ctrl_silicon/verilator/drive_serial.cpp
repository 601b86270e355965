// Joins the UART of `spike_serial` to the standard input and output, byte by byte.
//
// Argument: cycles of a bit, as the module has them. A frame on the standard input is int32: what, count, then `count`
// bytes. what: 0 sends the bytes and goes on until the line is quiet; 1 lets `count` cycles pass; 2 holds rst for a cycle;
// 3 holds the line low for `count` cycles. Each frame is answered by int32: fresh_output, count, and the bytes received.
#include <cstdio>
#include <cstdlib>

#include "simulated_uart.h"

int main(int, char **argv)
{
    SimulatedUart uart(std::atoi(argv[1]));
    int32_t head[2];
    while (std::fread(head, 4, 2, stdin) == 2) {
        uart.heard.clear();
        if (head[0] == 0) {
            for (int n = 0; n < head[1]; n++)
                uart.send(static_cast<uint8_t>(std::getchar()));
            uart.quiet = 0;
            while (uart.quiet < 10000)
                uart.tick();
        } else if (head[0] == 1) {
            uart.pass(head[1]);
        } else if (head[0] == 2) {
            uart.reset();
        } else {
            uart.top.rx = 0;
            uart.pass(head[1]);
            uart.top.rx = 1;
        }
        const int32_t answer[2] = {uart.top.fresh_output, static_cast<int32_t>(uart.heard.size())};
        std::fwrite(answer, 4, 2, stdout);
        std::fwrite(uart.heard.data(), 1, uart.heard.size(), stdout);
        std::fflush(stdout);
    }
    return 0;
}
