// An SPI device, mode 0, the highest bit first. clk is at least 8 times as fast as sck.
//
// A byte to send waits until the next byte begins; where none waits, a zero is sent.
module spi_device (
    input  logic       clk,
    input  logic       rst,
    input  logic       sck,
    input  logic       cs_n,
    input  logic       mosi,
    output logic       miso,
    output logic       received,   // for one cycle
    output logic [7:0] data,
    input  logic       send,       // ignored while busy
    input  logic [7:0] answer,
    output logic       busy,
    output logic       idle        // no transfer
);
    logic [2:0] clock, select;     // two flip-flops against metastability, and the last value
    logic [1:0] in;
    logic [2:0] bits;
    logic [7:0] shift, waiting;
    logic       loaded;            // shift holds the byte that waits
    wire        rises = !idle && clock[2:1] == 2'b01;
    wire        falls = !idle && clock[2:1] == 2'b10;

    assign idle = select[2];
    assign miso = shift[7];
    always_ff @(posedge clk) begin
        clock <= {clock[1:0], sck};
        select <= {select[1:0], cs_n};
        in <= {in[0], mosi};
        received <= 1'b0;
        if (send && !busy) begin
            waiting <= answer;
            busy <= 1'b1;
        end
        if (idle || (falls && bits == '0)) begin   // a byte begins with the next rise
            shift <= busy ? waiting : '0;
            loaded <= busy;
        end else if (falls) shift <= {shift[6:0], 1'b0};
        if (idle) bits <= '0;
        else if (rises) begin
            data <= {data[6:0], in[1]};
            bits <= bits + 3'd1;
            received <= bits == 3'd7;
            if (bits == '0 && loaded) busy <= 1'b0;
        end
        if (rst) begin
            select <= '1;
            busy <= 1'b0;
            loaded <= 1'b0;
        end
    end
endmodule
