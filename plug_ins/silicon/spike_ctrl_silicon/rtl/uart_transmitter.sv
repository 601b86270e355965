// Sends to a UART: 8 data bits, no parity, 1 stop bit. DIVISOR is the number of clock cycles of a bit.
module uart_transmitter #(
    parameter int DIVISOR = 50
) (
    input  logic       clk,
    input  logic       rst,
    input  logic       send,       // ignored while busy
    input  logic [7:0] data,
    output logic       tx,
    output logic       busy
);
    localparam int COUNT_BITS = $clog2(DIVISOR) + 1;
    logic [COUNT_BITS-1:0] count;
    logic [3:0]            bits;
    logic [8:0]            shift;

    assign busy = bits != '0;
    always_ff @(posedge clk) begin
        if (rst) begin
            tx <= 1'b1;
            bits <= '0;
        end else if (!busy) begin
            tx <= !send;
            if (send) begin
                shift <= {1'b1, data};
                bits <= 4'd10;
                count <= COUNT_BITS'(DIVISOR - 1);
            end
        end else if (count != '0) count <= count - COUNT_BITS'(1);
        else begin
            count <= COUNT_BITS'(DIVISOR - 1);
            bits <= bits - 4'd1;
            tx <= shift[0];
            shift <= {1'b1, shift[8:1]};
        end
    end
endmodule
