// Steps the policy through its self-test: inputs.hex in, wanted.hex out, which spike-ctrl export wrote from Python.
module testbench;
    localparam int STEPS = 128;
    localparam int INPUTS = 18;
    localparam int OUTPUTS = 4;
    logic clk = 0, rst = 1, x_write = 0, start = 0, fresh = 0;
    logic busy, done, spiked;
    localparam int X_INDEX = $clog2(INPUTS);
    logic [X_INDEX-1:0] x_index = '0;
    logic signed [19:0] x_value = '0;
    logic [16*OUTPUTS-1:0] action;
    logic [15:0] spiked_layer, spiked_neuron;
    logic [19:0] inputs [0:STEPS*INPUTS-1];
    logic [15:0] wanted [0:STEPS*OUTPUTS-1];
    int wrong = 0, cycles = 0, spikes = 0;

    policy policy (.*);
    always #10ns clk = !clk;
    always @(posedge clk) begin
        if (busy) cycles++;
        if (spiked) spikes++;
    end

    initial begin
        $readmemh("inputs.hex", inputs);
        $readmemh("wanted.hex", wanted);
        repeat (2) @(negedge clk);
        rst = 0;
        for (int step = 0; step < STEPS; step++) begin
            for (int n = 0; n < INPUTS; n++) begin
                x_write = 1;
                x_index = X_INDEX'(n);
                x_value = inputs[step * INPUTS + n];
                @(negedge clk);
            end
            x_write = 0;
            start = 1;
            @(negedge clk);
            start = 0;
            while (!done) @(negedge clk);
            for (int n = 0; n < OUTPUTS; n++)
                if (action[16*n +: 16] != wanted[step * OUTPUTS + n]) wrong++;
        end
        $display("%0d steps, %0d wrong actions, %0d cycles and %0d spikes per step", STEPS, wrong, cycles / STEPS, spikes / STEPS);
        if (wrong != 0) $fatal(1, "the core does not compute what Python computed");
        $finish;
    end
endmodule
