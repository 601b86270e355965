// Steps the module `policy` through requests on the standard input, and writes what it answers to the standard output.
//
// Arguments: lanes, bits of a membrane, inputs, widths of the hidden layers ..., outputs.
// A request is int32: flags (1: fresh; 2: rst after `cycles`, before the step ends), cycles, then the inputs in 2^-12.
// An answer is int32: cycles of the step (-1: it was cut short), actions in 2^-15, spikes and membranes of all neurons.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "Vpolicy.h"
#include "Vpolicy___024root.h"
#include "verilated.h"

static Vpolicy *top;

static void tick()
{
    top->clk = 1;
    top->eval();
    top->clk = 0;
    top->eval();
}

template <class Word> static int32_t membrane(const Word &word, int lane, int bits)
{
    uint32_t value = 0;
    const auto *bytes = reinterpret_cast<const uint8_t *>(&word);
    for (int bit = 0; bit < bits; bit++) {
        const int at = lane * bits + bit;
        value |= static_cast<uint32_t>(bytes[at / 8] >> (at % 8) & 1) << bit;
    }
    return static_cast<int32_t>(value << (32 - bits)) >> (32 - bits);
}

template <class Word> static int32_t action(const Word &word, int index)
{
    int16_t value;
    std::memcpy(&value, reinterpret_cast<const uint8_t *>(&word) + 2 * index, 2);
    return value;
}

int main(int argc, char **argv)
{
    const int lanes = std::atoi(argv[1]), bits = std::atoi(argv[2]), inputs = std::atoi(argv[3]);
    const int outputs = std::atoi(argv[argc - 1]);
    std::vector<int> widths, starts{0};
    for (int n = 4; n < argc - 1; n++) {
        widths.push_back(std::atoi(argv[n]));
        starts.push_back(starts.back() + widths.back());
    }
    top = new Vpolicy;
    top->rst = 1;
    tick();  // Verilator counts no edge before the first evaluation
    tick();
    top->rst = 0;
    std::vector<int32_t> request(2 + inputs), answer(1 + outputs + 2 * starts.back());
    while (std::fread(request.data(), 4, request.size(), stdin) == request.size()) {
        for (int n = 0; n < inputs; n++) {
            top->x_write = 1;
            top->x_index = static_cast<uint8_t>(n);
            top->x_value = static_cast<uint32_t>(request[2 + n]) & 0xFFFFF;
            tick();
        }
        top->x_write = 0;
        top->start = 1;
        top->fresh = request[0] & 1;
        std::fill(answer.begin(), answer.end(), 0);
        int cycles = 0;
        tick();
        top->start = 0;
        while (!top->done && cycles < 1000000) {
            if ((request[0] & 2) && cycles == request[1]) {
                top->rst = 1;
                tick();
                top->rst = 0;
                cycles = -1;
                break;
            }
            if (top->spiked)
                answer[1 + outputs + starts[top->spiked_layer] + top->spiked_neuron] = 1;
            tick();
            cycles++;
        }
        answer[0] = cycles;
        for (int n = 0; n < outputs; n++)
            answer[1 + n] = action(top->action, n);
        int group = 0;
        for (size_t layer = 0; layer < widths.size(); layer++) {
            for (int n = 0; n < widths[layer]; n++)
                answer[1 + outputs + starts.back() + starts[layer] + n] =
                    membrane(top->rootp->policy__DOT__core__DOT__membranes[group + n / lanes], n % lanes, bits);
            group += (widths[layer] + lanes - 1) / lanes;
        }
        std::fwrite(answer.data(), 4, answer.size(), stdout);
        std::fflush(stdout);
    }
    delete top;
    return 0;
}
