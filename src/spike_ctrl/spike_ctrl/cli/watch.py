"""The verbs of spike-ctrl that look at a running graph."""

from __future__ import annotations

from spike_ctrl._files.errors import UsageError


def add_watch(verbs, verb) -> None:
    parser = verb(
        verbs,
        "watch",
        "Show a running graph in the terminal: rates and ages of its topics, who flies, error, spike rates, training.",
        "  spike-ctrl watch                      # until Ctrl-C, in the graph's ROS_DOMAIN_ID\n"
        "  spike-ctrl watch --seconds 3          # one picture of the first 3 s, as text\n",
    )
    parser.add_argument("--seconds", type=float, default=0.0, help="print one picture after this time and end")
    parser.set_defaults(do=_watch)


def _watch(options) -> int:
    from spike_ctrl import launching

    if not 0 <= options.seconds <= 3600:
        raise UsageError(f"--seconds: found {options.seconds:g}, wanted 0 to 3600")
    try:
        launching.become("spike_ctrl_view", "dashboard", {"seconds": options.seconds})
    except launching.LaunchError as error:
        raise UsageError(str(error)) from None
