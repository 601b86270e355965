"""From the log of another program to a bag: read, put in order, judge, sample each 10 ms, write.

flight = read_flight(Path("flight.csv.gz"))
found = prepare(flight, airframe)
imported_bag.write(Path("bags/flight"), found.ticks, airframe, found.origin)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl import __version__, plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.recordings import bag_origin
from spike_ctrl.recordings.bag_messages import messages
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify import csv_log, log_defects
from spike_ctrl_identify.column_map import ColumnMap
from spike_ctrl_identify.control_ticks import COMMANDS, SLOWEST_COMMAND, ControlTicks, sampled, usable
from spike_ctrl_identify.flight_physics import require_physics
from spike_ctrl_identify.log_defects import Order
from spike_ctrl_identify.logged_flight import STATE, LoggedFlight, Series

DISORDER = {
    "unknown": "samples with empty cells, NaN or numbers beyond all units are left out",
    "doubled": "samples with the time of another are left out",
    "backward": "samples came out of order and were sorted",
}
SLOW = ("voltage", "set_point", "set_point_yaw")  # logged when they change, or seldom
NOTHING = Series(np.zeros(0), np.zeros((0, 1)))
COURSE, CERTAIN = 3.0, 0.8  # s of a stretch for the course of a delay, and the correlation that it needs
DEAD = 0.5  # s: a straight line for longer is a lost link, not flight
AIR = 0.25  # m: higher than this, delays and held set-points are judged


class PreparedFlight(NamedTuple):
    """A flight as it goes into a bag, with what is told of it. words: lines for the user."""

    ticks: ControlTicks
    origin: dict
    words: tuple[str, ...]


def read_flight(path: Path, chosen: ColumnMap | None = None) -> LoggedFlight:
    """Read the log of one flight by the importer that knows it; a log that none knows is read as CSV.

    An importer is a module with `reads(path) -> bool` and `read(path, chosen) -> LoggedFlight`.
    chosen: the map of a CSV; None: the known one that recognises it. Raises UsageError; UsageError for a broken importer.
    """
    for name in sorted(plug_ins.entries("importers")):
        importer = plug_ins.load("importers", name, f"{path}")
        if importer.reads(path):
            found: LoggedFlight = importer.read(path, chosen)
            return found
    return csv_log.read(path, chosen)


def prepare(flight: LoggedFlight, airframe: Airframe) -> PreparedFlight:
    """Judge a flight and sample it each 10 ms. Raises UsageError if it lacks a state or holds two flights."""
    source = str(flight.path)
    driven = "motors" if airframe.action_layout == "motors" else "collective_and_rates"
    if driven in flight.unread:
        raise UsageError(flight.unread[driven])
    series, orders = _in_order(source, flight.series)
    true = {name: usable(name, one) for name, one in series.items()}
    kept = SLOW if flight.evened else true
    alive = {name: one if name in kept else _without_dead_stretches(one) for name, one in true.items()}
    seldom = {name: log_defects.period(alive[name]) for name in COMMANDS if name in alive and len(alive[name].time) > 1}
    seldom = {name: each for name, each in seldom.items() if each > SLOWEST_COMMAND}
    alive = {name: one for name, one in alive.items() if name not in seldom}
    require_physics(flight, alive)
    ticks = sampled(source, {name: one for name, one in alive.items() if len(one.time)})
    air = _in_the_air(ticks)
    delay, alike, against, course = _delay(alive, ticks.time[air])
    origin = {
        "source": flight.path.name,
        "sha256": flight.sha256,
        "imported": f"{flight.how}, spike_ctrl {__version__}",
        "airframe": airframe.name,
        "layout": airframe.action_layout,
        "seconds": round(len(ticks.time) / RATE_HZ, 2),
        "seconds_in_the_air": round(float((air & ticks.known).sum()) / RATE_HZ, 2),
        "missing_ticks": int((~ticks.known).sum()),
        "absent": _absent(alive, driven),
        "lacking": _lacking(flight, driven, alive, seldom),
        "columns": {name: list(said.columns) for name, said in flight.declared.items() if name in series},
        "samples": {name: _sampling(name, one, flight.logged.get(name)) for name, one in series.items()},
        "disorder": {name: order._asdict() for name, order in orders.items() if any(order)},
        "impossible": _fewer(series, true),
        "dead": _fewer({name: true[name] for name in alive}, alive),
        "held_set_point_s": _held(series, ticks.time[air]),
        "gyro_delay": {"seconds": round(delay, 4), "correlation": round(alike, 2), "against": against, "course": course},
        "about": flight.about,
    }
    late = [_seldom(name, each) for name, each in seldom.items() if name != driven]
    return PreparedFlight(ticks, origin, (*flight.notes, *_words(origin), *late))


def _lacking(flight: LoggedFlight, driven: str, alive: dict[str, Series], seldom: dict[str, float]) -> str:
    """Why nothing tells what drove the vehicle, in a sentence with what to do; empty where the log tells it."""
    if driven in alive and len(alive[driven].time):
        return ""
    words = _seldom(driven, seldom[driven]) if driven in seldom else f"no {driven}"
    return f"{words}; without them `identify` tells nothing: {flight.remedy or f'log {driven}'}"


def _seldom(name: str, each: float) -> str:
    wanted = f"left out, wanted at least each {1e3 * SLOWEST_COMMAND:.0f} ms"
    return f"{name}: logged each {1e3 * each:.0f} ms: {wanted}"


def _in_order(source: str, series: dict[str, Series]) -> tuple[dict[str, Series], dict[str, Order]]:
    found, orders = {}, {}
    for name, one in series.items():
        found[name], orders[name] = log_defects.ordered(one)
        if orders[name].back > log_defects.RESTART:
            found_ = f"{source}: {name}: found time going back by {orders[name].back:.1f} s"
            raise UsageError(f"{found_}, wanted one flight in a file")
        if name in STATE and (leap := np.diff(found[name].time).max(initial=0.0)) > log_defects.LEAP:
            raise UsageError(f"{source}: {name}: found time going on by {leap:.0f} s at once, wanted one flight in a file")
    return found, orders


def _sampling(name: str, one: Series, logged: int | None) -> dict:
    """How the samples of a quantity lie in time; of packets that a file beside the log counts, the share that was lost."""
    if len(one.time) < 2:
        return {"count": len(one.time)}
    line = log_defects.on_line(one)
    gaps, longest = log_defects.gaps(one)
    straight = max((seconds for *_, seconds in log_defects.runs(line, one.time)), default=0.0)
    found = {"count": len(one.time), "period_ms": round(1e3 * log_defects.period(one), 2), "gaps": gaps}
    found |= {
        "longest_gap_s": round(longest, 3),
        "on_line": round(float(line.mean()), 3),
        "longest_line_s": round(straight, 2),
    }
    if logged is not None and name not in SLOW:  # those come more slowly by design
        found["lost"] = round(max(0.0, 1 - logged / len(one.time)), 3)
    return found


def _without_dead_stretches(one: Series) -> Series:
    """The samples without those that were interpolated, or extrapolated, over more than DEAD."""
    kept = np.ones(len(one.time), bool)
    for begin, end, seconds in log_defects.runs(log_defects.on_line(one), one.time):
        if seconds > DEAD:
            kept[begin:end] = False
    return Series(one.time[kept], one.value[kept])


def _fewer(before: dict[str, Series], after: dict[str, Series]) -> dict[str, int]:
    lost = {name: len(one.time) - len(after[name].time) for name, one in before.items()}
    return {name: count for name, count in lost.items() if count}


def _in_the_air(ticks: ControlTicks) -> np.ndarray:
    height = ticks.values.get("reference_position", ticks.values["position"])[:, 2]
    stood = height[ticks.grounded & np.isfinite(height)]
    return ~ticks.grounded & (height > (np.median(stood) if len(stood) else -np.inf) + AIR)


def _absent(series: dict[str, Series], driven: str) -> list[str]:
    wanted = (*STATE, driven, "voltage", "acceleration", "set_point", "reference_position", "reference_quaternion")
    return [name for name in wanted if name not in series or not len(series[name].time)]


def _during(one: Series, times: np.ndarray) -> Series:
    """The samples from the first to the last of some times; all of them where there are none."""
    if not len(times):
        return one
    inside = (one.time >= times[0]) & (one.time <= times[-1])
    return Series(one.time[inside], one.value[inside])


def _held(series: dict[str, Series], air: np.ndarray) -> float:
    """The longest time in the air without a new set-point, s."""
    return round(log_defects.held(_during(series["set_point"], air)), 2) if "set_point" in series else 0.0


def _delay(series: dict[str, Series], air: np.ndarray) -> tuple[float, float, str, list[list[float]]]:
    """Delay of the gyro in the air, s, its correlation, and what it was compared with. NaN and "" where nothing tells.

    And its course: begin on the log's clock, delay and correlation for each stretch of COURSE seconds that tells.
    """
    for against in ("reference_quaternion", "quaternion"):
        one, other = (_during(series.get(name, NOTHING), air) for name in ("rates", against))
        if len(one.time) > 2 and len(other.time) > 2:
            late, alike = log_defects.delay(one, other)
            course = []
            for begin in np.arange(air[0], air[-1] - COURSE, COURSE) if len(air) else ():
                parts = (_during(part, np.array([begin, begin + COURSE])) for part in (one, other))
                here, r = log_defects.delay(*parts)
                course += [[round(float(begin), 2), round(here, 4), round(r, 2)]] if r >= CERTAIN else []
            return (late if alike >= log_defects.SURE else float("nan")), alike, against, course
    return float("nan"), 0.0, "", []


def _words(origin: dict) -> list[str]:
    """What the table leaves out."""
    driven = ("motors", "collective_and_rates")
    found = [f"no {name}" for name in origin["absent"] if name not in driven]
    found += [origin["lacking"]] if origin["lacking"] else []
    for name, order in origin["disorder"].items():
        parts = [f"{order[key]} {words}" for key, words in DISORDER.items() if order[key]]
        found.append(f"{name}: {', '.join(parts)}")
    found += [f"{name}: {count} samples that cannot be true are left out" for name, count in origin["impossible"].items()]
    found += [f"{name}: {count} samples on straight lines of more than {DEAD} s are left out: the link was lost"
              for name, count in origin["dead"].items()]  # fmt: skip
    if origin["gyro_delay"]["against"] == "quaternion":
        found.append("no reference: the gyro's delay is that against the estimator's attitude")
    return found


HEADS = ("flight", "s", "in air", "missing", "lost", "on a line", "held")
HEADER = "{:<26}{:>7}{:>9}{:>10}{:>7}{:>12}{:>9}".format(*HEADS)  # within 80 columns


def row(origin: dict) -> str:
    """Two lines under HEADER: what happened to a flight's samples, and how late the gyro is, in all and by stretches.

    missing: ticks of 10 ms without a state. lost: packets, of the quantity that lost most, where a file beside the log
    counts them. on a line: the longest stretch that is interpolated. held: the longest time without a new set-point.
    """
    samples = [one for name, one in origin["samples"].items() if name not in SLOW]
    lost = max((one["lost"] for one in samples if "lost" in one), default=None)
    line = max((one.get("longest_line_s", 0.0) for one in samples), default=0.0)
    held = "-" if "set_point" in origin["absent"] else f"{origin['held_set_point_s']:.2f} s"
    late = origin["gyro_delay"]
    told = "unknown" if np.isnan(late["seconds"]) else f"{1e3 * late['seconds']:+.1f} ms"
    told += f" (r {late['correlation']:.2f})" if late["against"] else ""
    stretches = [1e3 * here for _, here, _ in late["course"]]
    told += f", by stretches {min(stretches):+.0f} to {max(stretches):+.0f} ms" if len(stretches) > 1 else ""
    parts = f"{'-' if lost is None else f'{lost:.0%}':>7}{f'{line:.2f} s':>12}{held:>9}"
    counts = f"{origin['seconds']:>7.1f}{origin['seconds_in_the_air']:>9.1f}{origin['missing_ticks']:>10}"
    return f"{_stem(origin['source']):<26}{counts}{parts}\n  gyro late: {told}"


def bag_name(flight: LoggedFlight) -> str:
    """The name of a flight's bag: that of its log without the endings."""
    return _stem(flight.path.resolve().name)


def _stem(name: str) -> str:
    for ending in (".gz", ".csv", ".ulg"):
        name = name.removesuffix(ending)
    return name


def require_new(targets: Sequence[Path]) -> None:
    """Raises UsageError where a bag exists or two logs would become one bag."""
    for number, target in enumerate(targets):
        if target.exists():
            raise UsageError(f"{target}: exists already, wanted the name of a new bag: import into another folder")
        if target in targets[:number]:
            raise UsageError(f"{target}: found two logs of this name, wanted one: import them into different folders")


def earlier_flights(folder: Path) -> list[tuple[str, str]]:
    """Name and sha256 of the flights that were imported into a folder before."""
    found = []
    for bag in sorted(folder.glob("*/metadata.yaml")) if folder.is_dir() else ():
        origin = read_origin(bag.parent)
        found += [(str(bag.parent), origin["sha256"])] if origin else []
    return found


def read_origin(path: Path) -> dict[str, Any] | None:
    """The origin of the flight in a bag; None if it was not imported. Raises BagError."""
    for topic, kind, _, message in messages(path, []):  # an import writes its origin first
        found = (topic.rpartition("/")[2], kind) == (bag_origin.TOPIC, bag_origin.KIND)
        return bag_origin.parse(message().data, path) if found else None
    return None
