// One step of a spiking policy in integers. The work follows the spikes: a silent neuron costs no cycle in the next layer.
//
// Neurons are computed in groups of LANES. For each group the core walks through the list of events (the inputs, or the
// indices of the neurons that spiked) and adds one word of weights per event and cycle. Then it applies leak, reset, bias
// and threshold, and appends the neurons that spiked to the list that the next layer reads.
//
//   U = (beta U') / 2^12 - s' theta + b + I      rounded to the nearest; a hard reset sets U' to 0 instead
//
// After rst, and in a step that is started with fresh, membranes and last spikes count as zero, whatever the memories hold.
module spike_core #(
    parameter int INPUTS = 18,
    parameter int OUTPUTS = 4,
    parameter int LAYERS = 2,                             // hidden layers
    parameter int LANES = 8,                              // neurons that are computed at once
    parameter bit RECURRENT = 0,                          // the last hidden layer hears its own last spikes
    parameter bit HARD_RESET = 0,
    parameter int INPUT_BITS = 12,                        // fraction bits of an input
    parameter int WEIGHT_BITS = 8,
    parameter int MEMBRANE_BITS = 16,
    parameter int LIMIT = 32767,                          // membranes saturate at +-LIMIT
    parameter int BIAS_BITS = 16,
    parameter int THETA_BITS = 16,                        // without a sign
    parameter int SUM_BITS = 32,                          // of a sum of weights and inputs
    parameter int NEXT_BITS = 32,                         // of a membrane before it saturates
    parameter int SCALE_SHIFT = 10,                       // of the readout
    parameter int READOUT_BITS = 40,                      // of scale * sum + bias
    parameter int READOUT_BIAS_BITS = 32,
    parameter int WEIGHT_WORDS = 7000,
    parameter int GROUP_WORDS = 48,                       // groups of all hidden layers
    parameter int EVENT_WORDS = 512,
    parameter bit [16*(LAYERS+1)-1:0] GROUPS = '0,        // per layer, the readout last: its groups
    parameter bit [16*(LAYERS+1)-1:0] ROWS = '0,          // per layer: rows of weights of a group
    parameter bit [16*LAYERS-1:0] LIST = '0,              // per hidden layer: where its list of events begins
    parameter int OWN_ROW = 0,                            // the row of the first own spike of a recurrent layer
    parameter int OWN_LIST = 0,                           // length of its list, which exists twice
    parameter bit [8*LAYERS-1:0] FRACTION = '0,           // per hidden layer: fraction bits of its membranes
    parameter WEIGHTS = "weights.hex",
    parameter NEURONS = "neurons.hex",
    parameter READOUT = "readout.hex",
    parameter TANH = "tanh.hex",
    localparam int X_BITS = INPUT_BITS + 8,
    localparam int X_INDEX = $clog2(INPUTS),
    localparam int EVENT_ADDRESS = $clog2(EVENT_WORDS)
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic                      x_write,            // inputs are written while the core is idle
    input  logic [X_INDEX-1:0]        x_index,
    input  logic signed [X_BITS-1:0]  x_value,            // in 2^-INPUT_BITS, from -64 to 64
    input  logic                      start,              // ignored while busy
    input  logic                      fresh,              // with start: begin from zero membranes
    output logic                      busy,
    output logic                      done,               // for one cycle, with the new action
    output logic [16*OUTPUTS-1:0]     action,             // signed, in 2^-15
    output logic                      spiked,             // a neuron spiked; which one:
    output logic [15:0]               spiked_layer,
    output logic [15:0]               spiked_neuron
);
    localparam int WEIGHT_ADDRESS = $clog2(WEIGHT_WORDS);
    localparam int GROUP_ADDRESS = (GROUP_WORDS > 1) ? $clog2(GROUP_WORDS) : 1;
    localparam int NEURON_BITS = BIAS_BITS + THETA_BITS + 13;
    localparam int PRODUCT_BITS = MEMBRANE_BITS + 14;
    localparam int TERM_BITS = WEIGHT_BITS + X_BITS;
    localparam int LANE_BITS = (LANES > 1) ? $clog2(LANES) : 1;
    localparam int OUTPUT_BITS = (OUTPUTS > 1) ? $clog2(OUTPUTS) : 1;

    typedef enum logic [3:0] {IDLE, SUM, DRAIN, LEAK, ADD, FIRE, PUSH, SCALE, SHIFT, LOOK, SIGN} state_t;
    state_t state;

    // Where the step is. layer == LAYERS is the readout.
    logic [7:0]                layer;
    logic [15:0]               group;
    logic [WEIGHT_ADDRESS-1:0] row;                       // of the weights of this group
    logic [GROUP_ADDRESS-1:0]  place;                     // of this group among all
    logic [15:0]               heard, own, fired;         // events of the layer below, own ones of the last step, new ones
    logic                      bank;                      // which own list is written
    logic                      forget, zero;              // begin the next step, this step from zero

    wire last_hidden = layer == 8'(LAYERS - 1);
    wire hears_itself = RECURRENT && last_hidden;
    wire dense = layer == 8'd0;
    wire readout = layer == 8'(LAYERS);

    // ---- memories ---------------------------------------------------------------------------------------------------
    logic [LANES*WEIGHT_BITS-1:0]   weights [0:WEIGHT_WORDS-1];
    logic [LANES*NEURON_BITS-1:0]   neurons [0:GROUP_WORDS-1];
    logic [LANES*MEMBRANE_BITS-1:0] membranes [0:GROUP_WORDS-1] /* verilator public_flat_rd */;
    logic [15:0]                    events [0:EVENT_WORDS-1];
    logic signed [X_BITS-1:0]       x [0:INPUTS-1];
    logic [16+READOUT_BIAS_BITS-1:0] outputs [0:OUTPUTS-1];
    logic [15:0]                    tanh [0:2047];
    initial begin
        $readmemh(WEIGHTS, weights);
        $readmemh(NEURONS, neurons);
        $readmemh(READOUT, outputs);
        $readmemh(TANH, tanh);
    end

    // ---- walk through the events: pointer, index, weight, sum ---------------------------------------------------------
    logic [15:0]                     pointer;
    logic                            in_own;              // the own list follows the list of the layer below
    logic [3:0]                      valid;
    logic                            dense_1, own_1, dense_2;
    logic [15:0]                     pointer_1, event_1;
    logic [LANES*WEIGHT_BITS-1:0]    weight_2, weight_3;
    logic signed [X_BITS-1:0]        x_2, by_3;           // a spike counts as 1, in the first layer as 2^INPUT_BITS
    logic signed [TERM_BITS-1:0]     term [LANES];
    logic signed [SUM_BITS-1:0]      sum [LANES];

    wire [15:0] below = dense ? 16'(INPUTS) : heard;
    wire more_below = !in_own && pointer < below;
    wire more_own = hears_itself && !zero && (in_own ? pointer < own : own != 0);
    wire issue = state == SUM && (more_below || (in_own && more_own));
    wire [7:0] source = dense ? 8'd0 : layer - 8'd1;
    wire [15:0] own_begin = LIST[16*(LAYERS-1) +: 16] + (bank ? 16'd0 : 16'(OWN_LIST));   // of the last step
    wire [15:0] new_begin = LIST[16*(LAYERS-1) +: 16] + (bank ? 16'(OWN_LIST) : 16'd0);
    wire [15:0] list_begin = in_own ? own_begin : (RECURRENT && readout) ? new_begin : LIST[16*source +: 16];
    // verilator lint_off UNUSEDSIGNAL
    wire [15:0] read_at = list_begin + pointer;         // 16 bits whatever the sizes; the memories use the lowest
    wire [15:0] index_1 = dense_1 ? pointer_1 : own_1 ? event_1 + 16'(OWN_ROW) : event_1;
    // verilator lint_on UNUSEDSIGNAL

    always_ff @(posedge clk) begin
        event_1 <= events[read_at[EVENT_ADDRESS-1:0]];
        pointer_1 <= pointer;
        dense_1 <= dense && !in_own;
        own_1 <= in_own;
        if (valid[0]) weight_2 <= weights[row + WEIGHT_ADDRESS'(index_1)];   // a block RAM that is not read takes no power
        x_2 <= x[index_1[X_INDEX-1:0]];
        dense_2 <= dense_1;
        weight_3 <= weight_2;
        by_3 <= dense_2 ? x_2 : dense ? X_BITS'(1 << INPUT_BITS) : X_BITS'(1);
        if (x_write) x[x_index] <= x_value;
    end

    // ---- neurons: leak, reset, bias, threshold ------------------------------------------------------------------------
    logic [LANES*NEURON_BITS-1:0]   neuron_word;
    logic [LANES*MEMBRANE_BITS-1:0] membrane_word, saturated;
    logic [LANES-1:0]               above, fire;
    logic signed [NEXT_BITS-1:0]    next [LANES];
    localparam int ROUNDED = INPUT_BITS - 32'(FRACTION[7:0]);   // bits that the first layer rounds away
    localparam logic signed [NEXT_BITS-1:0] HALF_ROUNDED = NEXT_BITS'((1 << ROUNDED) >> 1);

    always_ff @(posedge clk) begin
        neuron_word <= neurons[place];
        membrane_word <= membranes[place];
        if (state == FIRE && !rst) membranes[place] <= saturated;
    end

`ifdef FORMAL
    // Proved by `core_proof.py` with yosys, for the numbers of one network. `most` bounds the sums of each neuron and output.
    localparam int MANY = NEXT_BITS + PRODUCT_BITS + READOUT_BITS;
    localparam logic signed [PRODUCT_BITS-1:0] MOST_PRODUCT = PRODUCT_BITS'(LIMIT) <<< 12;
    parameter MOST = "most.hex";
    logic [LANES*SUM_BITS-1:0] most [0:GROUP_WORDS+OUTPUTS-1];
    initial $readmemh(MOST, most);
    wire [LANES*SUM_BITS-1:0]  most_word = most[place];
    logic begun = 1'b0, rst_past = 1'b0;
    always_ff @(posedge clk) begin
        begun <= 1'b1;
        rst_past <= rst;
    end
`endif
    for (genvar n = 0; n < LANES; n++) begin : lane
        wire signed [WEIGHT_BITS-1:0]   weight = weight_3[n*WEIGHT_BITS +: WEIGHT_BITS];
        wire [NEURON_BITS-1:0]          told = neuron_word[n*NEURON_BITS +: NEURON_BITS];
        wire signed [13:0]              beta = {1'b0, told[12:0]};
        wire signed [THETA_BITS:0]      theta = {1'b0, told[13 +: THETA_BITS]};
        wire signed [BIAS_BITS-1:0]     bias = told[13+THETA_BITS +: BIAS_BITS];
        wire signed [MEMBRANE_BITS-1:0] membrane = membrane_word[n*MEMBRANE_BITS +: MEMBRANE_BITS];
        wire                            spiked_last = !zero && NEXT_BITS'(membrane) > NEXT_BITS'(theta);
        wire                            forgets = zero || (HARD_RESET && spiked_last);
        wire signed [NEXT_BITS-1:0]     subtracted = (spiked_last && !HARD_RESET) ? NEXT_BITS'(theta) : '0;
        wire signed [NEXT_BITS-1:0]     long_sum = NEXT_BITS'(sum[n]);
        logic signed [NEXT_BITS-1:0]    current;
        always_comb begin
            current = (long_sum + HALF_ROUNDED) >>> ROUNDED;
            for (int l = 1; l < LAYERS; l++) if (layer == 8'(l)) current = long_sum <<< FRACTION[8*l +: 8];
        end
        logic signed [PRODUCT_BITS-1:0] product;
        wire signed [PRODUCT_BITS-1:0]  leaked = forgets ? '0 : PRODUCT_BITS'(membrane) * PRODUCT_BITS'(beta);
        wire signed [MEMBRANE_BITS-1:0] kept = MEMBRANE_BITS'((product + PRODUCT_BITS'(2048)) >>> 12);   // a leak is at most 1
        wire signed [NEXT_BITS-1:0]     ahead = NEXT_BITS'(kept) - subtracted + NEXT_BITS'(bias) + current;
        wire signed [MEMBRANE_BITS-1:0] now =
            next[n] > NEXT_BITS'(LIMIT) ? MEMBRANE_BITS'(LIMIT) :
            next[n] < NEXT_BITS'(-LIMIT) ? MEMBRANE_BITS'(-LIMIT) : MEMBRANE_BITS'(next[n]);
        assign saturated[n*MEMBRANE_BITS +: MEMBRANE_BITS] = now;
        assign above[n] = NEXT_BITS'(now) > NEXT_BITS'(theta);
        always_ff @(posedge clk) begin
            term[n] <= TERM_BITS'(weight) * TERM_BITS'(by_3);
            if (state == IDLE || state == PUSH) sum[n] <= '0;
            else if (valid[3]) sum[n] <= sum[n] + SUM_BITS'(term[n]);
            product <= leaked;
            if (state == ADD) next[n] <= ahead;
        end
`ifdef FORMAL
        // Each number is what many more bits give. What is read is assumed to be as large as what is written is shown to be.
        wire signed [SUM_BITS-1:0] limit = most_word[n*SUM_BITS +: SUM_BITS];
        logic signed [MANY-1:0]    inflow;
        always_comb begin
            inflow = (MANY'(sum[n]) + MANY'(HALF_ROUNDED)) >>> ROUNDED;
            for (int l = 1; l < LAYERS; l++) if (layer == 8'(l)) inflow = MANY'(sum[n]) <<< FRACTION[8*l +: 8];
            assume (zero || (membrane >= -LIMIT && membrane <= LIMIT));
            assert (now >= -LIMIT && now <= LIMIT);
            if (begun && state == LEAK) assert (leaked >= -MOST_PRODUCT && leaked <= MOST_PRODUCT);
            if (begun && state == ADD) begin
                assume (product >= -MOST_PRODUCT && product <= MOST_PRODUCT && sum[n] >= -limit && sum[n] <= limit);
                assert (MANY'(kept) == (MANY'(product) + MANY'(2048)) >>> 12);
                assert (MANY'(ahead) == MANY'(kept) - MANY'(subtracted) + MANY'(bias) + inflow);
            end
            assert (!zero || (leaked == '0 && subtracted == '0));   // a step from zero hears nothing of the last one
        end
        always_ff @(posedge clk) if (begun && $past(state == IDLE && start)) assert (rst_past || sum[n] == '0);
`endif
    end

    // ---- the list of those that spiked --------------------------------------------------------------------------------
    logic [LANE_BITS-1:0] first;                          // the lowest lane that spiked
    always_comb begin
        first = '0;
        for (int n = LANES - 1; n >= 0; n--) if (fire[n]) first = LANE_BITS'(n);
    end
    wire [15:0] neuron_index = 16'(group * 16'(LANES)) + 16'(first);
    wire [15:0] write_begin = (RECURRENT && last_hidden) ? new_begin : LIST[16*(readout ? 8'd0 : layer) +: 16];
    // verilator lint_off UNUSEDSIGNAL
    wire [15:0] write_at = write_begin + fired;
    // verilator lint_on UNUSEDSIGNAL
    assign spiked = state == PUSH && fire != '0;
    assign spiked_layer = 16'(layer);
    assign spiked_neuron = neuron_index;
    always_ff @(posedge clk) if (spiked) events[write_at[EVENT_ADDRESS-1:0]] <= neuron_index;

    // ---- readout ------------------------------------------------------------------------------------------------------
    logic [LANE_BITS-1:0]              out_lane;
    logic [OUTPUT_BITS-1:0]            out;
    logic signed [READOUT_BITS-1:0]    y_long, y;
    logic [15:0]                       tanh_word;
    wire [16+READOUT_BIAS_BITS-1:0]    out_word = outputs[out];
    wire signed [16:0]                 scale = {1'b0, out_word[15:0]};
    wire signed [READOUT_BIAS_BITS-1:0] out_bias = out_word[16 +: READOUT_BIAS_BITS];
    localparam logic signed [READOUT_BITS-1:0] HALF = READOUT_BITS'((1 << SCALE_SHIFT) >> 1);
    wire signed [READOUT_BITS-1:0]     y_ahead = READOUT_BITS'(sum[out_lane]) * READOUT_BITS'(scale) + READOUT_BITS'(out_bias) + HALF;
    wire signed [READOUT_BITS-1:0]     magnitude = y < 0 ? -y : y;
    always_ff @(posedge clk) tanh_word <= tanh[magnitude > READOUT_BITS'(2047) ? 11'd2047 : magnitude[10:0]];

    // ---- order of the step --------------------------------------------------------------------------------------------
    wire last_group = group == GROUPS[16*layer +: 16] - 16'd1;
    wire last_output = out == OUTPUT_BITS'(OUTPUTS - 1);
    assign busy = state != IDLE;

    task automatic next_group();
        pointer <= '0;
        in_own <= 1'b0;
        row <= row + WEIGHT_ADDRESS'(ROWS[16*layer +: 16]);
        group <= last_group ? '0 : group + 16'd1;
        if (last_group) begin
            layer <= layer + 8'd1;
            heard <= fired;
            fired <= '0;
        end
        state <= SUM;
    endtask

    always_ff @(posedge clk) begin
        done <= 1'b0;
        valid <= {valid[2:0], issue};
        case (state)
            IDLE: if (start) begin
                zero <= fresh || forget;
                layer <= '0;
                group <= '0;
                row <= '0;
                place <= '0;
                pointer <= '0;
                in_own <= 1'b0;
                fired <= '0;
                out <= '0;
                out_lane <= '0;
                state <= SUM;
            end
            SUM:
                if (issue) pointer <= pointer + 16'd1;
                else if (!in_own && more_own) begin
                    in_own <= 1'b1;
                    pointer <= '0;
                end else state <= DRAIN;
            DRAIN: if (valid == '0) state <= readout ? SCALE : LEAK;
            LEAK: state <= ADD;
            ADD: state <= FIRE;
            FIRE: begin
                fire <= above;
                state <= PUSH;
            end
            PUSH:
                if (fire != '0) begin
                    fire <= fire & (fire - LANES'(1));
                    fired <= fired + 16'd1;
                end else begin
                    place <= place + GROUP_ADDRESS'(1);
                    if (last_hidden && last_group) own <= fired;
                    next_group();
                end
            SCALE: begin
                y_long <= y_ahead;
                state <= SHIFT;
            end
            SHIFT: begin
                y <= y_long >>> SCALE_SHIFT;
                state <= LOOK;
            end
            LOOK: state <= SIGN;
            SIGN: begin
                action[16*out +: 16] <= y < 0 ? -tanh_word : tanh_word;
                out <= out + OUTPUT_BITS'(1);
                out_lane <= out_lane + LANE_BITS'(1);
                if (last_output) begin
                    done <= 1'b1;
                    bank <= !bank;
                    forget <= 1'b0;
                    state <= IDLE;
                end else if (LANES == 1 || out_lane == LANE_BITS'(LANES - 1)) begin
                    out_lane <= '0;
                    state <= PUSH;
                end else state <= SCALE;
            end
            default: state <= IDLE;
        endcase
        if (rst) begin
            state <= IDLE;
            valid <= '0;
            done <= 1'b0;
            bank <= 1'b0;
            own <= '0;
            forget <= 1'b1;
            fire <= '0;
            action <= '0;
        end
    end

`ifdef FORMAL
    wire signed [SUM_BITS-1:0] most_out = most[GROUP_WORDS + 32'(out)][SUM_BITS-1:0];
    int begin_of_layer;
    always_comb begin
        begin_of_layer = 0;
        for (int l = 0; l < LAYERS; l++) if (8'(l) < layer) begin_of_layer += 32'(GROUPS[16*l +: 16]);
        if (begun && state == SCALE) begin
            assume (sum[out_lane] >= -most_out && sum[out_lane] <= most_out);
            assert (MANY'(y_ahead) == MANY'(sum[out_lane]) * MANY'(scale) + MANY'(out_bias) + MANY'(HALF));
        end
        // Where the step is: the numbers are those of the group that is computed.
        if (begun && state != IDLE) begin
            assert (layer <= 8'(LAYERS) && group < GROUPS[16*layer +: 16]);
            if (state == LEAK || state == ADD || state == FIRE) assert (!readout);
            if (state == SCALE || state == SHIFT || state == LOOK || state == SIGN) assert (readout);
            if (state != SUM && !readout) assert (neuron_word == neurons[place]);
            if (!readout) assert (32'(place) == begin_of_layer + 32'(group) && out == '0 && out_lane == '0);
            else begin
                assert (32'(out) < OUTPUTS && 32'(out_lane) < LANES);
                assert (fire == '0);
                if (state == PUSH) assert (out_lane == '0 && 32'(out) == 32'(group) * LANES + LANES);
                else assert (32'(out) == 32'(group) * LANES + 32'(out_lane));
            end
        end
        // Resets, whatever registers and memories hold.
        if (!begun) assume (rst);
        else begin
            if (rst_past) assert (state == IDLE && forget && !done && action == '0);
            assert (!forget || state == IDLE || zero);          // a step after rst is one from zero
            assert (!zero || !more_own);
            assert (state == PUSH || fire == '0);
            assert (state == SUM || state == DRAIN || valid == '0);
        end
    end
    always_ff @(posedge clk)
        if (begun && $past(forget && !rst)) assert (forget || $past(state == SIGN && last_output));   // until one is done
`endif
endmodule
