"""The verbs of spike-ctrl that have to do with an autopilot."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import hil
from spike_ctrl.flight import realtime_scheduling

# Of what the simulated vehicle is told: low, high.
RANGES = {
    "instance": (0, 99), "seed": (0, 2**32 - 1), "speed": (0.1, 20), "noise": (0, 10), "latency": (0, 1),
    "priority": (0, 99), "mass": (0.1, 10), "thrust": (0.1, 10), "lag": (0.1, 10),
}  # fmt: skip


def add_vehicle(verbs, verb) -> None:
    parser = verb(
        verbs,
        "vehicle",
        "Fly a simulated quadrotor that speaks MAVLink over UDP as PX4 v1.17 does.",
        "  spike-ctrl vehicle                                  # to 127.0.0.1:14540, ground station at 14550\n"
        "  spike-ctrl vehicle --set COM_OF_LOSS_T=0.2 --set COM_OBL_RC_ACT=4\n"
        "  spike-ctrl vehicle --set EKF2_ACC_NOISE=1.0 --set EKF2_GYR_NOISE=0.1   # an estimate that wanders less\n"
        "  spike-ctrl vehicle --instance 1 --seed 3 --speed 5\n"
        "  spike-ctrl vehicle --mass 1.2 --thrust 0.8 --lag 1.2 --latency 0.02    # not the vehicle that was described\n"
        "  spike-ctrl vehicle --connection 192.168.1.20:14540 --local 0.0.0.0:14580 --station none\n" + hil.EXAMPLES,
    )
    parser.add_argument("--airframe", default="sih_quadx", help="a name or a path to a YAML file (default: sih_quadx)")
    parser.add_argument("--connection", metavar="HOST:PORT", help="who flies it (default: 127.0.0.1:14540 + instance)")
    parser.add_argument(
        "--local", metavar="HOST:PORT", help="where it listens, port 0: a free one (default: 127.0.0.1:14580 + instance)"
    )
    parser.add_argument(
        "--station", metavar="HOST:PORT", help="ground station, or none (default: 127.0.0.1:14550, from 18570 + instance)"
    )
    parser.add_argument("--instance", type=int, default=0, help="of several: moves ports and MAV_SYS_ID, 1 (default: 0)")
    parser.add_argument("--speed", type=float, default=1.0, help="of its time against the clock's (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the sensor noise (default: 0)")
    parser.add_argument("--noise", type=float, default=1.0, help="of the sensors, against PX4's simulation (default: 1)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that commands are late (default: 0)")
    for name, what in (("mass", "the mass"), ("thrust", "the rotors' thrust"), ("lag", "the lag of motors and rate loop")):
        parser.add_argument(f"--{name}", type=float, default=1.0, help=f"factor of {what} (default: 1)")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="write where it truly was, as CSV")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the autopilot; may be repeated"
    )
    parser.add_argument("--priority", type=int, default=0, help="of SCHED_FIFO, 1 to 99; 0: ordinary (default: 0)")
    parser.add_argument("--signing-key", type=Path, metavar="FILE", help="sign, and hear only who signs, with this key")
    parser.add_argument("--until-disarmed", action="store_true", help="a first signal ends it once it stands disarmed")
    hil.add_options(parser)
    parser.set_defaults(do=_vehicle, default=parser.get_default)


def check_ranges(values, ranges=RANGES, prefix: str = "") -> None:
    """Raises UsageError for one of the values, by name, that is out of its range. prefix: of names as users know them."""
    for name, value in values.items():
        low, high = ranges[name]
        if not low <= value <= high:
            raise UsageError(f"{prefix}{name}: found {value}, wanted {low} to {high}")


def _vehicle(options) -> int:
    from spike_ctrl import airframe
    from spike_ctrl.px4.signing import Signing, SigningError, read_key
    from spike_ctrl.simulated_px4 import ground_truth, simulated_parameters, udp_server
    from spike_ctrl.simulated_px4.plant import Plant
    from spike_ctrl.simulated_px4.vehicle import ONBOARD, STATION, Vehicle

    ranges = RANGES | ({"speed": (0, 100)} if options.px4_hil else {})
    check_ranges({name: getattr(options, name) for name in ranges}, ranges, "--")
    craft = airframe.altered(airframe.find(options.airframe), options.mass, options.thrust, options.lag)
    if options.px4_hil:
        return hil.run(options, craft, options.default)
    for name in hil.OURS:
        if getattr(options, name) != options.default(name):
            raise UsageError(f"--{name.replace('_', '-')}: found without --px4-hil, wanted with it")
    craft.require_layout("rates")
    try:
        log = ground_truth.Log(options.truth) if options.truth else None
        signing = {}
        if options.signing_key:
            key = read_key(options.signing_key)
            signing = {name: Signing(key, link, time.time(), 0.0) for link, name in enumerate((ONBOARD, STATION))}
        vehicle = Vehicle(
            craft,
            options.seed,
            dict(map(simulated_parameters.parse, options.set)),
            options.noise,
            options.latency,
            options.speed,
            signing=signing,
            system=1 + options.instance,
        )
        print(f"airframe {craft.name}; kernels compile on first use, some 10 s", flush=True)
        Plant(craft).advance(0.0, (0.0, 0.0, 0.0), running=False)
        host, port = udp_server.address(options.local or f"127.0.0.1:{14580 + options.instance}")
        companion = udp_server.address(options.connection or f"127.0.0.1:{14540 + options.instance}")
        opened = {ONBOARD: udp_server.open_port((host, port), companion)}
        if options.station != "none":
            local = (host, 18570 + options.instance if port else 0)
            opened[STATION] = udp_server.open_port(local, udp_server.address(options.station or "127.0.0.1:14550"))
    except (
        SigningError,
        simulated_parameters.AutopilotParameterError,
        udp_server.AddressError,
        ground_truth.TruthError,
    ) as error:
        raise UsageError(str(error)) from None
    for name, link in opened.items():
        (here, mine), (there, its) = link.socket.getsockname(), link.remote
        print(f"{name}: from {here}:{mine} to {there}:{its}", flush=True)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.append(number))
    if options.priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(options.priority))
        except PermissionError:
            raise UsageError(f"--priority: found {options.priority}, which this user may not set: see ulimit -r") from None
    see = log.see if log else lambda vehicle: None
    realtime_scheduling.freeze_objects()

    def ended() -> bool:
        return len(stop) > options.until_disarmed or bool(stop and not vehicle.commander.armed)

    udp_server.serve(vehicle, opened, time.monotonic, ended, lambda line: print(line, flush=True), see)
    if log:
        log.close()
    print(udp_server.summary(vehicle))
    return 0


def add_preflight(verbs, verb) -> None:
    parser = verb(
        verbs,
        "preflight",
        "Audit an autopilot before a flight: every condition that is not met, in words, with the value to set.\n\n"
        "Exit code 0: nothing bars a flight; 1: something does; 2: the command line is wrong.",
        "  spike-ctrl preflight --model models/sih_quadx.safetensors\n"
        "  spike-ctrl preflight --connection serial:/dev/ttyUSB0:921600 --cage -2,-2,-0.5,2,2,2.5\n"
        "  spike-ctrl preflight --no-remote-control           # against `spike-ctrl vehicle`\n"
        "  spike-ctrl preflight --no-remote-control --set     # and write the wanted values to its parameters\n",
    )
    parser.add_argument(
        "--connection",
        default="udpin:127.0.0.1:14540",
        help="udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD (default: udpin:127.0.0.1:14540)",
    )
    parser.add_argument("--system", type=int, default=1, help="the autopilot's MAV_SYS_ID, 1 to 255 (default: 1)")
    parser.add_argument("--model", type=Path, help="a checkpoint that must fit the vehicle")
    parser.add_argument("--airframe", default="sih_quadx", help="a name or a path to a YAML file (default: sih_quadx)")
    parser.add_argument("--rate", type=float, default=100.0, help="Hz of the control, 50 to 125 (default: 100)")
    parser.add_argument("--cage", default="", help="corners of the keep-in box, m: x,y,z,x,y,z (default: 6 x 6 x 3.5 m)")
    parser.add_argument("--height", type=float, default=1.0, help="m, of the take-off (default: 1)")
    parser.add_argument("--no-remote-control", action="store_true", help="there is no pilot with a remote control")
    parser.add_argument("--signing-key", type=Path, metavar="FILE", help="of a signed link")
    parser.add_argument(
        "--set", action="store_true", help="write the wanted values to parameters that bar a flight; PX4 keeps them"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="to listen for, at most, 1 to 600 (default: 10)")
    parser.set_defaults(do=_preflight)


def _preflight(options) -> int:
    from spike_ctrl import airframe
    from spike_ctrl.flight.flight_settings import FlightSettingsError, settings_for
    from spike_ctrl.policy import checkpoint
    from spike_ctrl.px4 import preflight
    from spike_ctrl.px4.companion import Companion
    from spike_ctrl.px4.connection import Connection, ConnectionFault
    from spike_ctrl.px4.link import Link
    from spike_ctrl.px4.signing import Signing, SigningError, read_key

    for name, (low, high) in {"rate": (50, 125), "height": (0.5, 50), "seconds": (1, 600), "system": (1, 255)}.items():
        if not low <= getattr(options, name) <= high:
            raise UsageError(f"--{name}: found {getattr(options, name):g}, wanted {low} to {high}")
    craft = airframe.find(options.airframe)
    contract = checkpoint.load(options.model).manifest.contract if options.model else None
    try:
        limits = settings_for(craft, options.rate, options.cage, options.height)
        wanted = preflight.Wanted(remote_control=not options.no_remote_control, state_rate=0.8 * options.rate)
        key = options.signing_key
        signing = Signing(read_key(key), 0, time.time(), time.monotonic()) if key else None
        connection = Connection(options.connection)
    except (FlightSettingsError, SigningError, ConnectionFault) as error:
        raise UsageError(str(error)) from None
    names = preflight.parameter_names(limits, craft, wanted)
    companion = Companion(Link(connection.stream, signing, options.system), options.rate, names)
    print(f"listening at {options.connection} for up to {options.seconds:g} s", flush=True)
    begun = time.monotonic()

    def unmet_of(now: float):
        return preflight.audit(companion.heard_of(now), limits, craft, wanted)

    # by then rates, clock and wander can be told
    _listen(connection, companion, begun + options.seconds, lambda now: now > begun + 4.0 and not unmet_of(now))
    if options.set:
        _set(connection, companion, lambda heard: preflight.to_set(heard.parameters, limits, craft, wanted, heard.home))
    unmet = unmet_of(time.monotonic())
    connection.close()
    if contract is not None:
        unmet += preflight.audit_contract(contract, craft, options.rate, limits.layout)
    for one in unmet:
        print(f"{'unmet' if one.blocks else 'warning'}: {one}")
    barring = sum(one.blocks for one in unmet)
    print("ready to fly" if not barring else f"{barring} conditions bar a flight")
    return 1 if barring else 0


def _listen(connection, companion, end: float, until) -> None:
    """Hear the autopilot and send it what is due, to `end` (monotonic, s) or as soon as `until` holds."""
    while (now := time.monotonic()) < end and not until(now):
        data, sender = connection.receive(0.02)
        if data and connection.believes(sender, now):
            companion.receive(data, now)
            connection.adopt(sender, now)
        for packet in companion.due(now):
            connection.send(packet)


def _set(connection, companion, wanted) -> None:
    """Write the parameters that `wanted` names, until the autopilot tells them back or has had five seconds."""
    heard = companion.heard_of(time.monotonic())
    if heard.status is None:
        return  # the audit says so
    if heard.status.armed:
        raise UsageError("--set: the vehicle is armed, wanted disarmed")
    before: dict[str, float] = {}
    for _ in range(10):
        now = time.monotonic()
        before = companion.parameters | before
        if not (values := wanted(heard := companion.heard_of(now))):
            break
        if heard.status is None or heard.status.armed:
            raise UsageError("--set: the autopilot was armed or lost meanwhile: not all was written")
        for name, value in values.items():
            connection.send(companion.link.set_parameter(name, type(before[name])(value), now))
        _listen(connection, companion, now + 0.5, lambda now: not wanted(companion.heard_of(now)))
    for name, value in companion.parameters.items():
        if value != before.get(name, value):
            print(f"set {name}: {before[name]:g} -> {value:g}")


def add_ask(verbs, verb) -> None:
    parser = verb(
        verbs,
        "ask",
        "Ask the supervisor of a running flight for something; its answer is printed.\n\n"
        "Exit code 0: granted; 1: refused, or nobody answers; 2: the command line is wrong.",
        "  spike-ctrl ask take_off           # arm, climb by the guide, the policy in shadow\n"
        "  spike-ctrl ask engage             # the policy flies as soon as it agrees with the guide\n"
        "  spike-ctrl ask set_target --setpoint 1,0,1.2\n"
        "  spike-ctrl ask set_target --setpoint 0,0,1.2,1.57 --trajectory figure8 --size 1 --period 8\n"
        "  spike-ctrl ask guide              # back to the guide\n"
        "  spike-ctrl ask disengage          # the autopilot holds\n"
        "  spike-ctrl ask land\n",
    )
    names = ("take_off", "guide", "engage", "disengage", "land", "set_target")
    parser.add_argument("request", choices=names, metavar="REQUEST", help=", ".join(names))
    parser.add_argument("--setpoint", default="", help="x,y,z or x,y,z,yaw (m, rad; ENU): the point, or trajectory's centre")
    parser.add_argument("--trajectory", default="", help="hover, step, circle, figure8, square or lissajous (default: hold)")
    parser.add_argument("--size", type=float, default=0.0, help="m, of the trajectory (default: its own)")
    parser.add_argument("--period", type=float, default=0.0, help="s, of a round of it (default: its own)")
    parser.set_defaults(do=_ask)


def _ask(options) -> int:
    from spike_ctrl import launching
    from spike_ctrl.control import trajectory

    for name in ("setpoint", "trajectory", "size", "period"):
        if getattr(options, name) and options.request != "set_target":
            raise UsageError(f"--{name}: found with {options.request}, wanted only with set_target")
    if options.trajectory not in ("", *trajectory.KINDS):
        raise UsageError(f"--trajectory: found '{options.trajectory}', wanted one of {', '.join(trajectory.KINDS)}")
    given = {name: getattr(options, name) for name in ("request", "size", "period")}
    given |= {name: f"'{text}'" for name in ("setpoint", "trajectory") if (text := getattr(options, name))}
    try:
        launching.become("spike_ctrl_flight", "flight_operator", given)
    except launching.LaunchError as error:
        raise UsageError(str(error)) from None
    return 0
