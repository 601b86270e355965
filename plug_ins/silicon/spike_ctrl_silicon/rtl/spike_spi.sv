// The policy behind SPI, mode 0. A transfer holds a request; another one, with zeros, reads its reply.
//
// Zeros come until the step is done, then the reply, once. The end of a transfer, cs_n high, ends a request that is not
// whole. A reply that was not read stays for the next transfer, so a host reads until it has a reply with its sequence.
module spike_spi #(
    parameter int CLOCK_HZ = 50_000_000
) (
    input  logic clk,
    input  logic rst,
    input  logic sck,
    input  logic cs_n,
    input  logic mosi,
    output logic miso,
    output logic fresh_output,
    output logic spiked
);
    logic       received, send, sending, ended;
    logic [7:0] byte_in, byte_out;

    spi_device port (
        .clk, .rst, .sck, .cs_n, .mosi, .miso, .received, .data(byte_in), .send, .answer(byte_out), .busy(sending),
        .idle(ended)
    );
    spike_link #(.CLOCK_HZ(CLOCK_HZ)) link (
        .clk, .rst, .received, .byte_in, .ended, .send, .byte_out, .sending, .fresh_output, .spiked
    );
endmodule
