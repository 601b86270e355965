// Receives from a UART: 8 data bits, no parity, 1 stop bit. DIVISOR is the number of clock cycles of a bit.
module uart_receiver #(
    parameter int DIVISOR = 50
) (
    input  logic       clk,
    input  logic       rst,
    input  logic       rx,
    output logic       received,   // for one cycle
    output logic [7:0] data
);
    localparam int COUNT_BITS = $clog2(DIVISOR) + 1;
    logic [COUNT_BITS-1:0] count;
    logic [3:0]            bits;
    logic [2:0]            line;   // two flip-flops against metastability, and the last value

    always_ff @(posedge clk) begin
        line <= {line[1:0], rx};
        received <= 1'b0;
        if (rst) begin
            bits <= '0;
            line <= '1;
        end else if (bits == '0) begin
            if (line[2:1] == 2'b10) begin
                bits <= 4'd10;
                count <= COUNT_BITS'(DIVISOR / 2 - 2);   // to the middle of the start bit; DIVISOR is 4 or more
            end
        end else if (count != '0) count <= count - COUNT_BITS'(1);
        else begin                 // the middle of a bit: start bit at 10, then data, stop bit at 1
            count <= COUNT_BITS'(DIVISOR - 1);
            bits <= bits - 4'd1;
            if (bits == 4'd10 && line[1]) bits <= '0;
            else if (bits == 4'd1) received <= line[1];
            else if (bits != 4'd10) data <= {line[1], data[7:1]};
        end
    end
endmodule
