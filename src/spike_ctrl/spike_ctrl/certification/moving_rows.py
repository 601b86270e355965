"""Which rows of the fault table (docs/faults.md) a certification strikes in motion, and with which faults.

The rows that are left out concern no vehicle in the air (a file, a bag, a parameter, a start), or what is not simulated
here: a clock that jumps, spike rates, the learner, the recorder, the ground station, DDS, an estimator that doubts itself.
"""

from __future__ import annotations

from spike_ctrl.certification.injected_fault import KINDS

ROWS: dict[int, tuple[str, ...]] = {
    1: ("link states_stop",),
    2: ("link states_lost", "link states_late"),
    3: ("link states_doubled", "link states_disordered"),
    4: ("state not_finite",),
    5: ("state position_jumps", "state noisy"),
    6: ("state frozen",),
    7: ("policy not_finite",),
    9: ("state origin_moved",),
    10: ("policy full", "policy scaled"),
    11: ("policy noisy",),
    12: ("policy frozen", "policy frozen_with_dither", "policy flipped", "policy one_axis_flipped", "policy biased"),
    15: ("process policy_stopped",),
    16: ("process policy_killed",),
    17: ("process guide_killed", "process guide_stopped", *(f"guide {kind}" for kind in KINDS["guide"])),
    19: ("process supervisor_killed", "process supervisor_stopped"),
    20: ("process bridge_killed", "process bridge_stopped", "link cut"),
    30: ("process policy_slow", "process starved", "policy delayed", "link commands_late"),
    33: ("operator pilot_holds", "operator pilot_lands", "operator pilot_returns"),
    35: ("operator battery_fails",),
    36: ("operator far_set_point", "operator stream_to_the_wall", "operator stream_not_finite"),
    43: ("operator shuts_down",),
    44: ("process companion_killed", "process companion_stopped"),
    47: (
        "state position_drifts", "state height_drifts", "state yaw_drifts", "state tilt_drifts", "state velocity_flipped",
        "state velocity_stuck", "state velocity_biased", "state position_stuck", "state rates_stuck", "state rates_flipped",
    ),
    48: ("link commands_lost",),
}  # fmt: skip
