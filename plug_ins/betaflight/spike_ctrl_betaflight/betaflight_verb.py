"""Check a Betaflight before a flight, or fly it in simulation.

sitl starts the firmware in a folder of its own, sets it up, and flies an airframe behind it until Ctrl-C. The firmware lives
in the vehicle's time, so that a busy computer flies slower, and not worse. The truth is published as nav_msgs/Odometry, as
motion capture would, where ROS is installed. A simulated pilot arms and switches the override on when a flight is there, and
disarms after its landing. Lines of standard input are faults: "mocap lost", "cable cut", "receiver lost", "pilot takes".

preflight asks a flight controller, names what bars a flight, and what to type into Betaflight's CLI. With --set it types
what changes nothing of how the pilot's sticks fly, and says what was there before.

mixer passes the frames of the pilot's CRSF receiver on to Betaflight, with the stack's sticks in them while the pilot's
switch is on: a second way beside MSP override, for firmware that flies the last override for ever.

certify flies random flights with faults in virtual time, as `spike-ctrl certify` beside PX4, by the firmware's rules: who
flies when override frames, poses or the pilot's switch stop. The firmware itself is not run. Exit code 1: the
safety property was violated.
"""

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight.options import FILE, FOLDER
from spike_ctrl_betaflight.simulated_pilot import FAR

GROUP = "fly"
EXAMPLES = """
spike-ctrl betaflight sitl --firmware ~/betaflight/obj/main/betaflight_SITL.elf --airframe racer
spike-ctrl launch flight link:=betaflight connection:=sitl auto:=true
spike-ctrl betaflight preflight --connection serial:/dev/ttyUSB0:921600 --airframe racer
spike-ctrl betaflight preflight --connection serial:/dev/ttyUSB0:921600 --set
spike-ctrl betaflight mixer --receiver serial:/dev/ttyAMA1 --controller serial:/dev/ttyAMA2
spike-ctrl betaflight certify models/any_rates.safetensors --flights 200
"""
RANGES = {
    "flights": (1, 10**6), "first": (0, 2**31), "speed": (0.05, 10.0), "noise": (0.0, 10.0), "arms": (0.0, 1e6),
    "gives": (0.0, 1e6), "takes": (0.0, 1e6), "far": (1.0, 1e3), "seconds": (1.0, 600.0),
    "seed": (0, 2**32 - 1), "channel": (5, 16),
}  # fmt: skip
NEVER, SWITCHED = 1e6, 20.0  # s; in which the pilot switches the override off and on


def add(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="WHAT")
    sitl = kinds.add_parser("sitl", help="the firmware's simulation on our dynamics")
    sitl.add_argument("--firmware", metavar="FILE", help="the executable (default: BETAFLIGHT_SITL of the environment)")
    sitl.add_argument("--folder", type=Path, default=FOLDER, help="where its eeprom and log are")
    sitl.add_argument("--airframe", default="racer", help="a name or a path to a YAML file (default: racer)")
    sitl.add_argument(
        "--set", action="append", default=[], metavar="LINE", help="one more line for its CLI; may be repeated"
    )
    sitl.add_argument("--speed", type=float, default=1.0, help="seconds of its time per second, at most (default: 1)")
    sitl.add_argument("--noise", type=float, default=1.0, help="factor of the noise of gyro, accelerometer and poses")
    sitl.add_argument("--seed", type=int, default=0)
    sitl.add_argument("--topic", default="mocap/odometry", help="of the poses (default: mocap/odometry); none: no ROS")
    sitl.add_argument(
        "--arms", type=float, default=2.0, metavar="S", help="s after a flight is there: the pilot arms (default: 2)"
    )
    sitl.add_argument(
        "--gives",
        type=float,
        default=4.0,
        metavar="S",
        help="s after a flight is there: the pilot switches MSP override on (default: 4)",
    )
    sitl.add_argument(
        "--takes",
        type=float,
        default=NEVER,
        metavar="S",
        help="s after a flight is there: the pilot switches it off and lands (default: never)",
    )
    sitl.add_argument(
        "--far",
        type=float,
        default=FAR,
        metavar="M",
        help=f"m from its start beyond which the pilot takes over (default: {FAR:g})",
    )
    sitl.add_argument("--again", action="store_true", help="the pilot arms again after each landing: for a training")
    sitl.add_argument("--truth", type=Path, metavar="FILE", help="write the true states to a CSV file")
    check = kinds.add_parser("preflight", help="what bars a flight beside a flight controller")
    check.add_argument("--connection", default="tcp:127.0.0.1:5761", help="tcp:HOST:PORT or serial:DEVICE:BAUD")
    check.add_argument("--airframe", default="any_rates", help="whose body rates are commanded (default: any_rates)")
    check.add_argument(
        "--set", action="store_true", help="write MSP override and the serial rate; the flight controller restarts"
    )
    check.add_argument("--seconds", type=float, default=5.0, help="how long to measure the link (default: 5)")
    mixer = kinds.add_parser("mixer", help="mix the stack's sticks into the frames of the pilot's CRSF receiver")
    mixer.add_argument(
        "--receiver", required=True, metavar="LINE", help="the pilot's: serial:DEVICE[:BAUD] or tcp:HOST:PORT"
    )
    mixer.add_argument("--controller", required=True, metavar="LINE", help="Betaflight's serial receiver, the same way")
    mixer.add_argument("--sticks", default="127.0.0.1:7788", help="where the stack's sticks come (default: 127.0.0.1:7788)")
    mixer.add_argument("--channel", type=int, default=6, help="of the pilot's override switch (default: 6)")
    proof = kinds.add_parser("certify", help="random flights with faults, in virtual time")
    proof.add_argument("model", metavar="MODEL", type=Path, help="a checkpoint of the layout `rates`")
    proof.add_argument("--flights", type=int, default=100, help="how many (default: 100)")
    proof.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first flight (default: 0)")
    proof.add_argument("--family", metavar="FAMILY", help="faults of one family; betaflight: those of this link")
    proof.add_argument("--holds-last", action="store_true", help="firmware before 2026.6, which flies the last command on")


def run(options: argparse.Namespace) -> int:
    ranges.require(vars(options), RANGES, "--")
    return {"sitl": _sitl, "preflight": _preflight, "mixer": _mixer, "certify": _certify}[options.kind](options)


def _mixer(options: argparse.Namespace) -> int:
    """Pass frames on until a signal (0)."""
    from spike_ctrl.cli._terminal import stop_signals
    from spike_ctrl_betaflight import crsf_relay
    from spike_ctrl_betaflight.crsf_line import CrsfLine
    from spike_ctrl_betaflight.crsf_mixer import CrsfMixer

    stop, sticks = stop_signals(), crsf_relay.listener(options.sticks)
    receiver, controller = CrsfLine(options.receiver), CrsfLine(options.controller)
    print(f"the pilot flies; override: channel {options.channel}; sticks: {options.sticks}", flush=True)
    mixer = CrsfMixer(override=options.channel - 1)
    try:
        crsf_relay.run(
            receiver, controller, sticks, mixer, time.monotonic, lambda: bool(stop), lambda line: print(line, flush=True)
        )
    finally:
        for line in (receiver, controller, sticks):
            line.close()
    return 0


def _certify(options: argparse.Namespace) -> int:
    """Fly, show progress, print the table. 1 where the safety property was violated."""
    from spike_ctrl.certification.safety_statistics import by_family, placed, table
    from spike_ctrl.cli._terminal import end_progress, progress_with_time_left
    from spike_ctrl_betaflight import certified_flights, virtual_betaflight

    if options.family not in (None, *virtual_betaflight.FAMILIES):
        raise UsageError(f"--family: found '{options.family}', wanted one of {', '.join(virtual_betaflight.FAMILIES)}")
    seeds, show, outcomes = range(options.first, options.first + options.flights), progress_with_time_left(), []
    for outcome in certified_flights.fly_seeds(options.model, seeds, options.family, not options.holds_last):
        outcomes.append(outcome)
        show(f"{len(outcomes)}/{options.flights} flights", len(outcomes) / options.flights)
    end_progress()
    print(table(by_family(outcomes)))
    worst = certified_flights.broken(outcomes)
    for o in worst[:10]:
        print(f"seed {o.seed}, {o.phase}, {o.motion}: {o.faults or o.alarm}: {placed(o.outside)}, {o.hit:.2f} m/s")
    return 1 if worst else 0


def _preflight(options: argparse.Namespace) -> int:
    """Ask, measure, print. 1 where something bars a flight."""
    from spike_ctrl import airframe
    from spike_ctrl_betaflight import betaflight_preflight, msp
    from spike_ctrl_betaflight.msp_line import MspLine
    from spike_ctrl_betaflight.options import parse

    place, chosen = parse(options.connection)
    craft = airframe.load(options.airframe)
    craft.require_layout("rates")
    line, mask = MspLine(place), betaflight_preflight.MIXED if chosen.mixer else betaflight_preflight.OVERRIDDEN
    if options.set:
        line = _set(line, place, mask)
    try:
        known = {command: line.ask(command) for command in (*betaflight_preflight.NAMES, msp.FC_VARIANT)}
        begun, took = time.monotonic(), []
        while time.monotonic() < begun + options.seconds:
            asked = time.monotonic()
            line.ask(msp.RAW_IMU)
            took.append(time.monotonic() - asked)
        version = known[msp.FC_VERSION]
        print(f"firmware {version[0] + 2000 if version[0] >= 25 else version[0]}.{version[1]}.{version[2]}", flush=True)
        middle, worst = sorted(took)[len(took) // 2], max(took)
        rate = len(took) / options.seconds
        print(f"link: {rate:.0f} answers per second, each in {1e3 * middle:.1f} ms, at most {1e3 * worst:.0f} ms")
        unmet = betaflight_preflight.audit(known, craft, chosen.holds_last == "allowed", bool(chosen.mixer), chosen.idle)
        unmet += betaflight_preflight.audit_link(math.inf, took, True)
        status, boxids = msp.status(known[msp.STATUS_EX]), known[msp.BOXIDS]
        if not status.active(msp.ARM, boxids) and status.active(msp.OVERRIDE, boxids):
            unmet += _try_override(line, known, chosen.mixer)
        else:
            print("msp_override_channels_mask: not tried: disarm, switch MSP OVERRIDE on, and run this again")
    finally:
        line.close()
    for one in unmet:
        print(f"{'unmet' if one.blocks else 'warning'}: {one}")
    barring = sum(one.blocks for one in unmet)
    print("ready to fly, once the position is there" if not barring else f"{barring} conditions bar a flight")
    return 1 if barring else 0


def _set(line: Any, place: str, mask: int) -> Any:
    """Write the settings that are safe to write, of a version that was run; the line afterwards."""
    from spike_ctrl_betaflight import betaflight_preflight, msp, settings_writer

    try:
        known = {command: line.ask(command) for command in (msp.FC_VARIANT, msp.API_VERSION)}
        for one in betaflight_preflight.audit_version(known, holds_last_allowed=True):
            if one.blocks:
                raise UsageError(f"--set: {one}")
        written = settings_writer.write(line, mask)
    finally:
        line.close()
    for setting in written:
        print(setting, flush=True)
    print("the flight controller restarts" if written else "--set: nothing to write; the flight controller restarts")
    return settings_writer.restarted(place)


def _try_override(line: Any, known: dict[int, bytes], mixer: str) -> list[Any]:
    """Disarmed, with the override on: send four pulses that nobody flies by, and read back what the firmware flies by."""
    from spike_ctrl_betaflight import betaflight_preflight, crsf_relay, msp

    sticks = crsf_relay.StickSender(mixer) if mixer else line
    mask = betaflight_preflight.MIXED if mixer else betaflight_preflight.OVERRIDDEN
    sent, order = [1480, 1520, 1100, 1540], tuple(known[msp.RX_MAP][:4])
    before = msp.channels(line.ask(msp.RC))
    if mixer:
        print(f"mixer: switch MSP OVERRIDE off and on within {SWITCHED:g} s, for it was on before these sticks", flush=True)
    end = time.monotonic() + (SWITCHED if mixer else 0.6)
    while True:
        sticks.send(msp.set_raw_rc(sent))
        time.sleep(0.02)
        flown = msp.channels(line.ask(msp.RC))
        found = betaflight_preflight.audit_override(sent, before, flown, order, mask)
        if time.monotonic() > end or (mixer and not found):
            return found
        before = flown if mixer else before  # the pilot's switch moves


def _sitl(options: argparse.Namespace) -> int:
    """Fly until a signal (0)."""
    from spike_ctrl import airframe
    from spike_ctrl.cli._terminal import stop_signals
    from spike_ctrl.simulated_px4 import ground_truth
    from spike_ctrl_betaflight import firmware, sitl_packets
    from spike_ctrl_betaflight.betaflight_companion import FRESH_API
    from spike_ctrl_betaflight.cable import Cable
    from spike_ctrl_betaflight.commands import Throttle
    from spike_ctrl_betaflight.simulated_pilot import SimulatedPilot
    from spike_ctrl_betaflight.sitl_flight import SitlFlight
    from spike_ctrl_betaflight.sitl_packets import SensedMotion

    try:
        from spike_ctrl_betaflight.firmware_simulation import FirmwareSimulation
    except ModuleNotFoundError:
        raise UsageError("betaflight sitl: found no plug-in sitl, wanted it: pip install ./plug_ins/sitl") from None
    path = firmware.executable(options.firmware, os.environ)
    craft = airframe.load(options.airframe)
    stop, said = stop_signals(), options.folder / FILE

    said.unlink(missing_ok=True)
    refused = firmware.configure(path, options.folder, [*firmware.SETTINGS, *options.set])
    if refused:
        raise UsageError(f"{path}: its CLI refuses {'; '.join(refused)}")
    with firmware.Firmware(path, options.folder, timed=True) as running:
        api = running.api()
        mocap = None if options.topic == "none" else _publisher(options)
        simulation = FirmwareSimulation(craft, running.grant, api >= FRESH_API, noise=options.noise, seed=options.seed)
        simulation.advance()  # compiles
        cable = Cable(sitl_packets.MSP)
        log = ground_truth.Log(options.truth) if options.truth else None  # that of a flight that has the port stays

        def see(now: float, true: SensedMotion) -> None:
            if log is not None:
                log.row(now, true.position, true.quaternion, true.velocity, true.rates)

        pilot = SimulatedPilot(
            options.arms, options.gives, options.takes, Throttle().pulse(craft.hover), options.far, options.again
        )
        held = "" if api >= FRESH_API else "&holds_last=allowed"
        connection = f"tcp:127.0.0.1:{cable.port}?pose={options.topic}&hover={craft.hover:.3f}&battery=assumed{held}"
        print(f"airframe {craft.name} behind {path.name}, MSP API {'.'.join(map(str, api))}", flush=True)
        said.write_text(connection + "\n")
        print(f"connection {connection}", flush=True)
        flight = SitlFlight(
            simulation, cable, pilot, mocap,
            see,
            lambda line: print(line, flush=True),
        )  # fmt: skip
        try:
            flight.run(stop, options.speed)
        finally:
            said.unlink(missing_ok=True)
            cable.close()
            simulation.close()
            if log:
                log.close()
        print(flight.turns)
    return 0


def _publisher(options: argparse.Namespace) -> Any:
    """What publishes the truth with a motion capture's noise."""
    import numpy as np
    import rclpy
    from nav_msgs.msg import Odometry
    from rclpy.signals import SignalHandlerOptions

    from spike_ctrl_betaflight.sitl_truth import Mocap
    from spike_ctrl_ros import qos

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # the verb itself ends on signals
    out = rclpy.create_node("betaflight_sitl").create_publisher(Odometry, options.topic, qos.STREAM)
    return Mocap(out.publish, options.noise, np.random.default_rng(options.seed))
