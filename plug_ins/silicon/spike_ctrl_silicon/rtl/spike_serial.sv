// The policy behind a UART. A silence of three bytes ends a request that is not whole.
module spike_serial #(
    parameter int CLOCK_HZ = 50_000_000,
    parameter int BAUD = 1_000_000
) (
    input  logic clk,
    input  logic rst,
    input  logic rx,
    output logic tx,
    output logic fresh_output,
    output logic spiked
);
    localparam int DIVISOR = CLOCK_HZ / BAUD;
    localparam int GAP = 30 * DIVISOR;
    logic        received, send, sending;
    logic [7:0]  byte_in, byte_out;
    logic [15:0] silence;
    wire         ended = silence == 16'(GAP);

    uart_receiver #(.DIVISOR(DIVISOR)) receiver (.clk, .rst, .rx, .received, .data(byte_in));
    uart_transmitter #(.DIVISOR(DIVISOR)) transmitter (.clk, .rst, .send, .data(byte_out), .tx, .busy(sending));
    spike_link #(.CLOCK_HZ(CLOCK_HZ)) link (
        .clk, .rst, .received, .byte_in, .ended, .send, .byte_out, .sending, .fresh_output, .spiked
    );

    always_ff @(posedge clk) begin
        if (rst || received) silence <= '0;
        else if (!ended) silence <= silence + 16'd1;
    end
endmodule
