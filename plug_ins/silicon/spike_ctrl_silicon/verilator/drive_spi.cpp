// Joins the SPI of `spike_spi` to the standard input and output, transfer by transfer.
//
// A frame on the standard input is int32: what, count, then `count` bytes. what: 0 is a transfer of the bytes, with 8 cycles
// to a period of sck; 1 lets `count` cycles pass; 2 holds rst for a cycle. Each frame is answered by int32: fresh_output,
// count, and the bytes received.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "Vspike_spi.h"
#include "verilated.h"

static Vspike_spi top;

static void pass(int cycles)
{
    for (int n = 0; n < cycles; n++) {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
    }
}

static uint8_t exchanged(uint8_t byte)
{
    uint8_t heard = 0;
    for (int bit = 7; bit >= 0; bit--) {
        top.mosi = byte >> bit & 1;
        pass(4);
        heard = static_cast<uint8_t>(heard << 1 | top.miso);
        top.sck = 1;
        pass(4);
        top.sck = 0;
    }
    return heard;
}

int main()
{
    top.cs_n = 1;
    top.rst = 1;
    pass(2);
    top.rst = 0;
    int32_t head[2];
    while (std::fread(head, 4, 2, stdin) == 2) {
        std::vector<uint8_t> heard;
        if (head[0] == 0) {
            top.cs_n = 0;
            pass(8);
            for (int n = 0; n < head[1]; n++)
                heard.push_back(exchanged(static_cast<uint8_t>(std::getchar())));
            pass(8);
            top.cs_n = 1;
            pass(8);
        } else if (head[0] == 1) {
            pass(head[1]);
        } else {
            top.rst = 1;
            pass(1);
            top.rst = 0;
        }
        const int32_t answer[2] = {top.fresh_output, static_cast<int32_t>(heard.size())};
        std::fwrite(answer, 4, 2, stdout);
        std::fwrite(heard.data(), 1, heard.size(), stdout);
        std::fflush(stdout);
    }
    return 0;
}
