// Requests become steps, steps become replies: the frames of docs/uart_policy.c, byte by byte. A port carries the bytes:
// `spike_serial` is this behind a UART, `spike_spi` behind SPI.
//
//   request  A5 5A, sequence, flags (bit 0: first of an activation), INPUTS float32, CRC (2)
//   reply    A5 5A, sequence, status, OUTPUTS float32, CRC (2)
//
// Numbers are little-endian. The CRC is CRC-16/CCITT-FALSE over all bytes between the two marks and itself. The policy
// begins from zero with the first request, after a gap in the sequence, with flags bit 0, after a number that is not
// finite, and after the watchdog: without a step for WATCHDOG_MS, `fresh_output` falls. `fresh_output` is high only while
// the last reply was READY and its step is not older than that. A request with the sequence of the last step gets the
// reply of that step again: its reply was damaged on the way.
module spike_link #(
    parameter int CLOCK_HZ = 50_000_000,
    parameter int WATCHDOG_MS = 25,
    parameter int WARM_UP = 50,
    parameter int INPUTS = 18,
    parameter int OUTPUTS = 4
) (
    input  logic       clk,
    input  logic       rst,
    input  logic       received,                          // for one cycle, with a byte
    input  logic [7:0] byte_in,
    input  logic       ended,                             // what has come of a request is all that comes of it
    output logic       send,                              // a byte; only while not sending
    output logic [7:0] byte_out,
    input  logic       sending,
    output logic       fresh_output,
    output logic       spiked
);
    localparam int WATCHDOG = CLOCK_HZ / 1000 * WATCHDOG_MS;
    localparam int REQUEST = 4 + 4 * INPUTS + 2;
    localparam int REPLY = 4 + 4 * OUTPUTS + 2;
    localparam logic [7:0] READY = 8'd0, WARMING_UP = 8'd1, DAMAGED = 8'd2, NOT_FINITE = 8'd3;
    localparam int X_INDEX = $clog2(INPUTS);

    function automatic logic [15:0] crc_of(input logic [15:0] crc, input logic [7:0] value);
        crc_of = crc ^ {value, 8'd0};
        for (int n = 0; n < 8; n++) crc_of = crc_of[15] ? {crc_of[14:0], 1'b0} ^ 16'h1021 : {crc_of[14:0], 1'b0};
    endfunction

    // ---- a float32 becomes an input in 2^-12: rounded to the nearest, halves away from zero, saturated at 64 --------
    // The rounding is that of float32 arithmetic, as in C: the above_64st number below one half becomes 1.
    logic [31:0]        number;
    wire [7:0]          exponent = number[30:23];
    wire [23:0]         mantissa = {1'b1, number[22:0]};
    wire                finite = exponent != 8'd255;
    wire                above_64 = exponent >= 8'd133;
    wire                tiny = exponent < 8'd114;         // below 2^-13
    wire                below_half = exponent == 8'd113 && number[22:0] == '1;
    wire [19:0]         doubled = 20'({19'd0, mantissa} << (exponent - 8'd114) >> 23);
    wire [18:0]         size = above_64 ? 19'h40000 : tiny ? {18'd0, below_half} : doubled[19:1] + {18'd0, doubled[0]};
    wire signed [19:0]  fixed = number[31] ? -{1'b0, size} : {1'b0, size};

    // ---- an action in 2^-15 becomes a float32, exactly --------------------------------------------------------------
    function automatic logic [31:0] float_of(input logic [15:0] value);
        logic [15:0] left;
        logic [7:0]  power;
        left = value[15] ? -value : value;
        power = 8'd127;
        for (int n = 0; n < 16; n++)
            if (!left[15]) begin
                left = {left[14:0], 1'b0};
                power = power - 8'd1;
            end
        float_of = value == '0 ? 32'd0 : {value[15], power, left[14:0], 8'd0};
    endfunction

    // ---- the policy -------------------------------------------------------------------------------------------------
    logic                  x_write, start, fresh, busy, done;
    logic [X_INDEX-1:0]    x_index;
    logic signed [19:0]    x_value;
    logic [16*OUTPUTS-1:0] action;
    // verilator lint_off PINCONNECTEMPTY
    policy network (
        .clk, .rst, .x_write, .x_index, .x_value, .start, .fresh, .busy, .done, .action, .spiked, .spiked_layer(),
        .spiked_neuron()
    );
    // verilator lint_on PINCONNECTEMPTY

    // ---- receive, step, reply ---------------------------------------------------------------------------------------
    typedef enum logic [1:0] {RECEIVE, JUDGE, STEP, ANSWER} state_t;
    state_t                      state;
    logic [7:0]                  place;                   // of the next byte of the request
    logic [31:0]                 age;                     // cycles since the last step
    logic [15:0]                 crc, crc_heard, crc_sent;
    logic [7:0]                  sequence_heard, sequence_last, flown, status;
    logic                        first, all_finite, word_ready;
    logic [X_INDEX:0]            word;
    logic [7:0]                  sent;
    logic [32*OUTPUTS-1:0]       floats;

    wire expired = age == 32'(WATCHDOG);
    wire whole = crc == crc_heard;
    wire [7:0] ready = flown < 8'(WARM_UP) ? WARMING_UP : READY;
    wire again = !first && flown != '0 && sequence_heard == sequence_last;
    wire restarts = first || flown == '0 || sequence_heard != sequence_last + 8'd1;
    assign fresh_output = status == READY && !expired && flown == 8'(WARM_UP);

    always_comb begin
        floats = '0;
        if (status == READY || status == WARMING_UP)
            for (int n = 0; n < OUTPUTS; n++) floats[32*n +: 32] = float_of(action[16*n +: 16]);
        case (sent)
            8'd0: byte_out = 8'hA5;
            8'd1: byte_out = 8'h5A;
            8'd2: byte_out = sequence_heard;
            8'd3: byte_out = status;
            8'(REPLY - 2): byte_out = crc_sent[7:0];
            8'(REPLY - 1): byte_out = crc_sent[15:8];
            default: byte_out = floats[8*32'(sent - 8'd4) +: 8];
        endcase
    end
    assign send = state == ANSWER && !sending && sent != 8'(REPLY);

    always_ff @(posedge clk) begin
        start <= 1'b0;
        x_write <= 1'b0;
        word_ready <= 1'b0;
        if (!expired) age <= age + 32'd1;
        else flown <= '0;
        if (word_ready && !busy) begin
            x_write <= 1'b1;
            x_index <= word[X_INDEX-1:0];
            x_value <= fixed;
            word <= word + (X_INDEX+1)'(1);
            all_finite <= all_finite && finite;
        end
        case (state)
            RECEIVE: begin
                if (ended) place <= '0;
                if (received) begin
                    place <= place + 8'd1;
                    case (place)
                        8'd0: if (byte_in != 8'hA5) place <= '0;
                        8'd1: begin
                            if (byte_in != 8'h5A) place <= byte_in == 8'hA5 ? 8'(1) : '0;
                            crc <= 16'hFFFF;
                            word <= '0;
                            all_finite <= 1'b1;
                        end
                        8'd2: sequence_heard <= byte_in;
                        8'd3: first <= byte_in[0];
                        8'(REQUEST - 2): crc_heard[7:0] <= byte_in;
                        8'(REQUEST - 1): begin
                            crc_heard[15:8] <= byte_in;
                            place <= '0;
                            state <= JUDGE;
                        end
                        default: begin
                            number <= {byte_in, number[31:8]};
                            word_ready <= place[1:0] == 2'd3;
                        end
                    endcase
                    if (place >= 8'd2 && place < 8'(REQUEST - 2)) crc <= crc_of(crc, byte_in);
                end
            end
            JUDGE: begin
                crc_sent <= 16'hFFFF;
                sent <= '0;
                if (!whole) begin
                    status <= DAMAGED;
                    state <= ANSWER;
                end else if (again) begin
                    status <= ready;
                    state <= ANSWER;
                end else begin
                    sequence_last <= sequence_heard;
                    if (!all_finite) begin
                        status <= NOT_FINITE;
                        flown <= '0;
                        state <= ANSWER;
                    end else begin
                        start <= 1'b1;
                        fresh <= restarts;
                        age <= '0;
                        flown <= restarts ? 8'd1 : flown < 8'(WARM_UP) ? flown + 8'd1 : flown;
                        state <= STEP;
                    end
                end
            end
            STEP: if (done) begin
                status <= ready;
                state <= ANSWER;
            end
            ANSWER: if (send) begin
                sent <= sent + 8'd1;
                if (sent >= 8'd2 && sent < 8'(REPLY - 2)) crc_sent <= crc_of(crc_sent, byte_out);
            end else if (!sending) state <= RECEIVE;
            default: state <= RECEIVE;
        endcase
        if (rst) begin
            state <= RECEIVE;
            place <= '0;
            age <= 32'(WATCHDOG);
            flown <= '0;
            status <= DAMAGED;
            sequence_last <= '0;
        end
    end
endmodule
