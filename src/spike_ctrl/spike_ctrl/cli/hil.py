"""`spike-ctrl vehicle --px4-hil`: PX4's own firmware flies our dynamics."""

from __future__ import annotations

import signal
import sys
import time

from spike_ctrl._files.errors import UsageError

EXAMPLES = (
    "  spike-ctrl vehicle --px4-hil tcp:4560               # PX4's own firmware flies our dynamics, in lockstep\n"
    "  spike-ctrl vehicle --px4-hil tcp:4560 --airframe x500 --speed 0 --rate 500        # as fast as PX4 answers\n"
    '  eval "$(spike-ctrl vehicle --px4-hil tcp:4560 --px4-environment)"; make px4_sitl none_iris   # in PX4\'s folder\n'
)
# Of the vehicle that has its own autopilot
OTHERS = ("connection", "local", "station", "latency", "set", "signing_key", "priority", "truth")
OURS = ("rate", "home", "patience", "px4_environment")


def add_options(parser) -> None:
    group = parser.add_argument_group("PX4 on our dynamics")
    group.add_argument("--px4-hil", metavar="tcp:[HOST:]PORT", help="serve PX4's simulator interface, at PORT + instance")
    group.add_argument("--rate", type=float, default=250.0, help="Hz of the samples, 250 to 500 (default: 250)")
    group.add_argument("--home", metavar="LAT,LON,ALT", help="of the origin: degrees, m (default: PX4's, Zurich)")
    group.add_argument("--patience", type=float, default=5.0, help="s with PX4's answers (default: 5)")
    group.add_argument("--px4-environment", action="store_true", help="print what PX4 is to be started with, and end")


def run(options, craft, defaults) -> int:
    """Serve until a signal (0) or until PX4 is gone (1). `defaults`: gives the default of an option."""
    from spike_ctrl.px4 import px4_parameters
    from spike_ctrl.px4_hil import tcp_server
    from spike_ctrl.px4_hil.simulation import RATES, Simulation, SimulationError

    for name in OTHERS:
        if getattr(options, name) != defaults(name):
            raise UsageError(f"--{name.replace('_', '-')}: found with --px4-hil, wanted without: PX4 has its own")
    for name, (low, high) in {"rate": RATES, "patience": (0.1, 3600)}.items():
        if not low <= getattr(options, name) <= high:
            raise UsageError(f"--{name}: found {getattr(options, name)}, wanted {low:g} to {high:g}")
    if options.px4_environment:
        print(px4_parameters.environment(craft, options.rate, options.speed))
        return 0
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.append(number))
    simulation = Simulation(craft, options.rate, options.seed, options.noise, _place(options.home))
    try:
        listener = tcp_server.listen(options.px4_hil, options.instance)
    except tcp_server.EndpointError as error:
        raise UsageError(str(error)) from None
    print(f"airframe {craft.name}; kernels compile on first use, some 10 s", flush=True)
    Simulation(craft, options.rate).advance()
    host, port = listener.getsockname()
    print(f"waiting for PX4 at tcp {host}:{port}", flush=True)
    connection = tcp_server.accept(listener, lambda: bool(stop))
    listener.close()
    if connection is None:
        return 0
    begin, failure = time.monotonic(), None
    pace = tcp_server.LockstepPace(options.speed, options.patience)
    print(f"PX4 has connected; samples at {options.rate:g} Hz", flush=True)
    try:
        tcp_server.serve(
            simulation, connection, time.monotonic, pace, lambda: bool(stop), lambda line: print(line, flush=True)
        )
    except SimulationError as error:
        failure = error
    connection.close()
    (x, y, z), hardest = simulation.body.motion.position, simulation.body.hardest_touchdown
    factor = simulation.now / max(time.monotonic() - begin, 1e-9)
    print(
        f"{simulation.now:.1f} s, {factor:.1f} times as fast as the clock; at east {x:.2f} north {y:.2f} up {z:.2f} m;"
        f" farthest {simulation.farthest:.2f} m from the start; hardest touchdown {hardest:.2f} m/s"
    )
    if failure is not None:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failure is not None else 0


def _place(text: str | None):
    from spike_ctrl.px4_hil.sensors import Place

    if text is None:
        return Place()
    try:
        place = Place(*(float(word) for word in text.split(",")))
        good = text.count(",") == 2 and abs(place.latitude) <= 85 and abs(place.longitude) <= 180
        good = good and -500 <= place.altitude <= 10000
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(f"--home: found '{text}', wanted LAT,LON,ALT: -85 to 85, -180 to 180 degrees, -500 to 10000 m")
    return place
