// Joins the UART of `spike_serial` to the standard input and output, byte by byte.
//
// Arguments: cycles of a bit, as the module has them. A frame on the standard input is int32: what, count, then `count`
// bytes. what: 0 sends the bytes and goes on until the line is quiet; 1 lets `count` cycles pass; 2 holds rst for a cycle;
// 3 holds the line low for `count` cycles. Each frame is answered by int32: fresh_output, count, and the bytes received.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vspike_serial.h"
#include "verilated.h"

static Vspike_serial *top;
static int divisor, bits, wait_cycles, quiet;
static uint8_t shift;
static std::vector<uint8_t> heard;

static void tick()
{
    top->clk = 1;
    top->eval();
    top->clk = 0;
    top->eval();
    quiet++;
    if (bits == 0) {
        if (!top->tx) {
            bits = 9;
            wait_cycles = divisor + divisor / 2 - 1;
        }
        return;
    }
    quiet = 0;
    if (--wait_cycles > 0)
        return;
    wait_cycles = divisor;
    if (--bits == 0)
        heard.push_back(shift);
    else
        shift = static_cast<uint8_t>(shift >> 1 | (top->tx ? 0x80 : 0));
}

static void send(uint8_t byte)
{
    const int frame = byte << 1 | 1 << 9;
    for (int bit = 0; bit < 10; bit++) {
        top->rx = frame >> bit & 1;
        for (int n = 0; n < divisor; n++)
            tick();
    }
}

int main(int, char **argv)
{
    divisor = std::atoi(argv[1]);
    top = new Vspike_serial;
    top->rx = 1;
    top->rst = 1;
    tick();  // Verilator counts no edge before the first evaluation
    tick();
    top->rst = 0;
    bits = 0;  // before its reset the module's line may have any level
    int32_t head[2];
    while (std::fread(head, 4, 2, stdin) == 2) {
        heard.clear();
        if (head[0] == 0) {
            for (int n = 0; n < head[1]; n++)
                send(static_cast<uint8_t>(std::getchar()));
            quiet = 0;
            while (quiet < 10000)
                tick();
        } else if (head[0] == 1) {
            for (int n = 0; n < head[1]; n++)
                tick();
        } else if (head[0] == 2) {
            top->rst = 1;
            tick();
            top->rst = 0;
        } else {
            top->rx = 0;
            for (int n = 0; n < head[1]; n++)
                tick();
            top->rx = 1;
        }
        const int32_t answer[2] = {top->fresh_output, static_cast<int32_t>(heard.size())};
        std::fwrite(answer, 4, 2, stdout);
        std::fwrite(heard.data(), 1, heard.size(), stdout);
        std::fflush(stdout);
    }
    delete top;
    return 0;
}
