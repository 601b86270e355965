// The policy on a ULX3S board (Lattice ECP5): UART over the USB socket US1, 50 MHz from the 25 MHz oscillator.
// led[0]: the output is fresh and ready; led[1]: spikes; led[7]: the clock runs. btn[1]: reset.
module ulx3s (
    input  logic       clk_25mhz,
    input  logic       ftdi_txd,
    output logic       ftdi_rxd,
    input  logic [1:1] btn,
    output logic [7:0] led
);
    logic clk, locked, fresh_output, spiked;
    (* FREQUENCY_PIN_CLKI = "25", FREQUENCY_PIN_CLKOP = "50" *)
    (* ICP_CURRENT = "12", LPF_RESISTOR = "8", MFG_ENABLE_FILTEROPAMP = "1", MFG_GMCREF_SEL = "2" *)
    EHXPLLL #(                                            // 25 MHz * 2, oscillator of the PLL at 600 MHz
        .CLKI_DIV(1), .CLKFB_DIV(2), .CLKOP_DIV(12), .CLKOP_CPHASE(5), .CLKOP_FPHASE(0), .CLKOP_ENABLE("ENABLED"),
        .FEEDBK_PATH("CLKOP"), .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"),
        .DPHASE_SOURCE("DISABLED"), .OUTDIVIDER_MUXA("DIVA")
    ) pll (
        .CLKI(clk_25mhz), .CLKOP(clk), .CLKFB(clk), .LOCK(locked), .RST(1'b0), .STDBY(1'b0), .PHASESEL0(1'b0),
        .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1), .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0)
    );

    logic [3:0] pressed;                                  // reset until the PLL has locked, and while the button is down
    always_ff @(posedge clk) pressed <= {pressed[2:0], btn[1] || !locked};

    spike_serial #(.CLOCK_HZ(50_000_000)) serial (
        .clk, .rst(pressed[3]), .rx(ftdi_txd), .tx(ftdi_rxd), .fresh_output, .spiked
    );

    logic [24:0] ticks;
    logic [19:0] glow;                                    // a spike is too short to see
    always_ff @(posedge clk) begin
        ticks <= ticks + 25'd1;
        glow <= spiked ? '1 : glow != '0 ? glow - 20'd1 : glow;
    end
    assign led = {ticks[24], 5'd0, glow != '0, fresh_output};
endmodule
