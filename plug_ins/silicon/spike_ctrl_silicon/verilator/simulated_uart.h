// The far end of the UART of `spike_serial`: sends bytes bit by bit, and collects those that come.
#include <cstdint>
#include <vector>

#include "Vspike_serial.h"
#include "verilated.h"

struct SimulatedUart {
    Vspike_serial top;
    std::vector<uint8_t> heard;
    int quiet = 0;  // cycles since the last bit

    explicit SimulatedUart(int cycles_of_a_bit) : divisor(cycles_of_a_bit)
    {
        top.rx = 1;
        top.rst = 1;
        tick();  // Verilator counts no edge before the first evaluation
        tick();
        top.rst = 0;
        bits = 0;  // before its reset the module's line may have any level
    }

    void tick()
    {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
        quiet++;
        if (bits == 0) {
            if (!top.tx) {
                bits = 9;
                wait = divisor + divisor / 2 - 1;
            }
            return;
        }
        quiet = 0;
        if (--wait > 0)
            return;
        wait = divisor;
        if (--bits == 0)
            heard.push_back(shift);
        else
            shift = static_cast<uint8_t>(shift >> 1 | (top.tx ? 0x80 : 0));
    }

    void pass(long cycles)
    {
        for (long n = 0; n < cycles; n++)
            tick();
    }

    void send(uint8_t byte)
    {
        const int frame = byte << 1 | 1 << 9;
        for (int bit = 0; bit < 10; bit++) {
            top.rx = frame >> bit & 1;
            pass(divisor);
        }
    }

    void reset()
    {
        top.rst = 1;
        tick();
        top.rst = 0;
    }

  private:
    int divisor, bits = 0, wait = 0;
    uint8_t shift = 0;
};
