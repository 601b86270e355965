"""Logs of other programs become bags with what was flown, and what was wrong with a log is told.

Oracles: motions that are known beforehand, written as the other program would have logged them.
"""

import gzip
import hashlib
import math

import numpy as np
import pytest
import yaml

from spike_ctrl import airframe, report
from spike_ctrl.cli import main
from spike_ctrl.recordings import recorded_transitions
from spike_ctrl.recordings.reader import read
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl.sim.reward import START, reward
from spike_ctrl_identify import column_map
from spike_ctrl_identify.flight_import import read_origin

CRAZYFLIE = airframe.load("crazyflie")
YAW_RATE = 0.5  # rad/s, to the left
G = 9.80665


def turning(seconds=6.0, period=0.01, **other) -> dict[str, np.ndarray]:
    """A cfclient log: rests 1 s, then hovers at 1 m, nose down by 10 degrees, turning to the left by YAW_RATE."""
    t = np.arange(0, seconds, period)
    flown = t >= 1.0
    nothing, one = np.zeros_like(t), np.ones_like(t)
    columns = {
        "Timestamp": 1000 * t + 5000,
        "stateEstimate.x": 0.3 * one, "stateEstimate.y": -0.2 * one, "stateEstimate.z": np.where(flown, 1.0, 0.02),
        "stateEstimate.vx": 0.1 * one, "stateEstimate.vy": nothing, "stateEstimate.vz": nothing,
        "stabilizer.roll": nothing, "stabilizer.pitch": -10.0 * one,  # the firmware's pitch: nose down is negative
        "stabilizer.yaw": np.degrees(YAW_RATE * t),
        "gyro.x": nothing, "gyro.y": nothing, "gyro.z": np.degrees(YAW_RATE) * one,
        "acc.x": nothing, "acc.y": nothing, "acc.z": one,
        "motor.m1": np.where(flown, 10000.0, 0), "motor.m2": np.where(flown, 20000.0, 0),
        "motor.m3": np.where(flown, 30000.0, 0), "motor.m4": np.where(flown, 40000.0, 0),
        "pm.vbat": 4.1 - 0.01 * t,
        "ctrltarget.x": nothing, "ctrltarget.y": nothing, "ctrltarget.z": one, "ctrltarget.yaw": 90.0 * one,
    }  # fmt: skip
    return columns | other


def wobbling(late: float, seconds=30.0) -> dict[str, np.ndarray]:
    """A log with an external attitude that rolls to and fro, and a gyro that shows the same `late` seconds later."""
    log = turning(seconds)
    t = (log["Timestamp"] - 5000) / 1000

    def roll(at):
        return 0.3 * np.sin(2 * math.pi * 0.7 * at) + 0.1 * np.sin(2 * math.pi * 1.9 * at + 1)

    def rate(at):
        w = 2 * math.pi * np.array([0.7, 1.9])
        return 0.3 * w[0] * np.cos(w[0] * at) + 0.1 * w[1] * np.cos(w[1] * at + 1)

    log |= {"stabilizer.roll": np.degrees(roll(t)), "stabilizer.pitch": 0 * t, "stabilizer.yaw": 0 * t}
    log |= {"gyro.x": np.degrees(rate(t - late)), "gyro.z": 0 * t}
    log |= {"locSrv.x": log["stateEstimate.x"], "locSrv.y": log["stateEstimate.y"], "locSrv.z": log["stateEstimate.z"]}
    half = roll(t) / 2
    return log | {"locSrv.qx": np.sin(half), "locSrv.qy": 0 * t, "locSrv.qz": 0 * t, "locSrv.qw": np.cos(half)}


def save(path, columns, rows=slice(None)):
    """Write columns as a CSV; gzipped where the name says so."""
    names = list(columns)
    table = np.column_stack([columns[name] for name in names])[rows]
    text = ",".join(names) + "\n" + "".join(",".join(f"{v:.9g}" for v in row) + "\n" for row in table)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def run(*arguments) -> int:
    return main.main(["import", *map(str, arguments)])


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turned")
    assert run(save(folder / "turn.csv.gz", turning()), "-o", folder / "bags") == 0
    return read(folder / "bags" / "turn")


def test_a_yaw_to_the_left_is_positive_and_as_fast_as_it_was(turned):
    q = turned.poses.quaternion
    yaw = np.unwrap(2 * np.arctan2(q[:, 2], q[:, 3]))  # of a vehicle that pitches by a constant angle
    np.testing.assert_allclose(np.diff(yaw).mean() * 100, YAW_RATE, rtol=1e-3)
    np.testing.assert_allclose(turned.poses.rates[:, 2], YAW_RATE, rtol=1e-6)


def test_nose_down_is_a_positive_pitch_though_the_firmware_says_minus(turned):
    r = turned.states.observation[:, 0, 3:12].reshape(-1, 3, 3)
    np.testing.assert_allclose(r[:, 2, 0], -math.sin(math.radians(10)), atol=1e-6)  # the nose points below the horizon


def test_the_duty_of_each_motor_is_its_rotors_command(turned):
    flying = turned.commands.action[~np.isnan(turned.commands.action[:, 0])][-1]
    np.testing.assert_allclose((flying + 1) / 2, np.array([1, 2, 3, 4]) * 10000 / 65535, rtol=1e-6)
    assert turned.commands.layout == "motors" and (turned.commands.commander == 3).all()


def test_one_g_of_the_accelerometer_is_gravity_and_the_battery_is_in_volts(turned):
    np.testing.assert_allclose(turned.sensed.force, [[0, 0, G]] * len(turned.states.tick))
    np.testing.assert_allclose(turned.sensed.voltage[[0, -1]], [4.1, 4.1 - 0.01 * 5.99], atol=1e-6)


def test_the_observation_is_seen_from_the_set_point_and_its_yaw(turned):
    seen = turned.states.observation[-1, 0]
    # From (0, 0, 1) looking north, the vehicle at (.3, -.2, 1) is .2 behind and .3 to the right.
    np.testing.assert_allclose(seen[:3], [-0.2, -0.3, 0.0], atol=1e-6)
    np.testing.assert_allclose(seen[12:15], [0.0, -0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(turned.sensed.set_point, [[0, 0, 1.0]] * len(turned.states.tick))


def test_a_vehicle_with_idle_motors_stands_on_the_ground(turned):
    grounded = (turned.states.flags[:, 0] & FIRST) > 0
    assert grounded[:100].all() and not grounded[102:].any()


def test_a_bag_says_whose_motors_it_holds_and_what_it_was_made_from(turned, tmp_path):
    plain = gzip.decompress((turned.path.parents[1] / "turn.csv.gz").read_bytes())
    assert turned.origin["sha256"] == hashlib.sha256(plain).hexdigest() and turned.origin["source"] == "turn.csv.gz"
    assert (turned.origin["airframe"], turned.origin["layout"]) == ("crazyflie", "motors")
    assert turned.origin["absent"] == ["reference_position", "reference_quaternion"]
    assert turned.reference is None and read_origin(turned.path)["imported"].startswith("map cfclient")


@pytest.mark.parametrize("late", [-0.007, 0.0, 0.015])
def test_a_gyro_that_is_late_by_a_known_time_is_found_out(late, tmp_path):
    run(save(tmp_path / "late.csv", wobbling(late)), "-o", tmp_path / "bags")
    told = read_origin(tmp_path / "bags" / "late")["gyro_delay"]
    assert told["against"] == "reference_quaternion" and told["correlation"] > 0.99
    assert told["seconds"] == pytest.approx(late, abs=1e-3)
    assert len(told["course"]) > 5 and all(here == pytest.approx(late, abs=4e-3) for _, here, _ in told["course"])


def test_rows_doubled_and_out_of_order_are_told_and_put_right(tmp_path, capsys):
    order = np.arange(600)
    order[[300, 301]] = order[[301, 300]]
    run(save(tmp_path / "a.csv", turning(), np.insert(order, 500, [499, 499])), "-o", tmp_path / "bags")
    assert "rates: 2 samples with the time of another are left out, 1 samples came out of order" in capsys.readouterr().out
    found = read(tmp_path / "bags" / "a")
    assert (np.diff(found.states.tick) == 1).all() and len(found.states.tick) == 600


@pytest.mark.parametrize(("column", "quantity"), [("pm.vbat", "voltage"), ("gyro.y", "rates")])
def test_a_number_beyond_all_units_is_left_out_and_told(column, quantity, tmp_path, capsys):
    assert hostile(tmp_path, damaged(column, 300, "1e300")) == 0
    assert f"{quantity}: 1 samples with empty cells, NaN or numbers beyond all units are left out" in capsys.readouterr().out
    read(tmp_path / "bags" / "bad")


def test_missing_rows_are_missing_ticks_and_nothing_is_made_up_for_them(tmp_path):
    keep = np.delete(np.arange(600), np.arange(300, 320))
    run(save(tmp_path / "a.csv", turning(), keep), "-o", tmp_path / "bags")
    found = read(tmp_path / "bags" / "a")
    assert found.origin["missing_ticks"] == 20 and found.origin["samples"]["rates"]["longest_gap_s"] == pytest.approx(0.21)
    assert set(range(1, 601)) - set(found.states.tick.tolist()) == set(range(301, 321))


def test_interpolated_rows_are_counted_and_a_long_line_is_no_flight(tmp_path, capsys):
    log = wobbling(0.0, seconds=12)
    for begin, end in ((500, 520), (800, 880)):  # .2 s, and .8 s
        for name in ("gyro.x", "stabilizer.roll"):
            log[name][begin:end] = np.linspace(log[name][begin], log[name][end - 1], end - begin)
    run(save(tmp_path / "a.csv", log), "-o", tmp_path / "bags")
    found = read(tmp_path / "bags" / "a")
    assert found.origin["samples"]["rates"]["longest_line_s"] == pytest.approx(0.79, abs=0.02)
    assert "rates: 78 samples on straight lines of more than 0.5 s are left out" in capsys.readouterr().out
    gone = set(range(1, 1201)) - set(found.states.tick.tolist())
    assert gone and gone <= set(range(801, 882)) and len(gone) >= 76


def test_motors_beyond_full_duty_are_no_command(tmp_path):
    log = turning()
    log["motor.m2"][400:410] = 4e5
    run(save(tmp_path / "a.csv", log), "-o", tmp_path / "bags")
    found = read(tmp_path / "bags" / "a")
    assert np.isnan(found.commands.action[400:410]).all() and np.isfinite(found.commands.action[411:]).all()
    assert found.origin["impossible"] == {"motors": 10}


def test_the_blocks_of_a_flight_in_one_folder_are_joined_by_their_time(tmp_path):
    log, folder = turning(), tmp_path / "20260101T10-00-00"
    folder.mkdir()
    names = [n for n in log if n != "Timestamp"]
    for number, block in enumerate((names[:6], names[6:9], names[9:12], names[12:])):
        late = {"Timestamp": log["Timestamp"] + number}  # each block has times of its own
        save(folder / f"block{number}.csv", late | {name: log[name] for name in block})
    assert run(folder, "-o", tmp_path / "bags") == 0
    found = read(tmp_path / "bags" / folder.name)
    np.testing.assert_allclose(found.poses.rates[:, 2], YAW_RATE, rtol=1e-6)
    assert len(found.states.tick) >= 598


def test_copies_of_a_flight_are_refused_also_after_decompression_and_later(tmp_path, capsys):
    one, other = save(tmp_path / "a.csv", turning()), save(tmp_path / "b.csv.gz", turning())
    assert run(one, other, "-o", tmp_path / "bags") == 2
    assert f"{other}: found the same bytes as {one}" in capsys.readouterr().err and not (tmp_path / "bags").exists()
    assert run(one, "-o", tmp_path / "bags") == 0 and run(other, "-o", tmp_path / "bags") == 2
    assert "found the same bytes as" in capsys.readouterr().err
    assert run(other, "-o", tmp_path / "others") == 0
    for verb in (["identify"], ["train", "--from-bag"]):
        capsys.readouterr()
        assert main.main([*verb, str(tmp_path / "bags" / "a"), str(tmp_path / "others" / "b")]) == 2
        assert "found the same bytes as" in capsys.readouterr().err


def test_a_flight_without_set_point_has_no_place_in_its_frame(tmp_path):
    log = {name: column for name, column in turning().items() if not name.startswith("ctrltarget")}
    run(save(tmp_path / "a.csv", log), "-o", tmp_path / "bags")
    found = read(tmp_path / "bags" / "a")
    assert np.isnan(found.states.observation[:, 0, :3]).all() and np.isfinite(found.states.observation[:, 0, 3:]).all()
    assert "set_point" in found.origin["absent"] and np.isnan(found.sensed.set_point).all()


def test_a_map_of_ones_own_reads_ned_frd_and_other_units(tmp_path):
    """The same flight as logged by somebody with NED, FRD, quaternions w first, cm, motors in microseconds."""
    t = np.arange(0, 5, 0.01)
    one = np.ones_like(t)
    half = -YAW_RATE * t / 2  # to the left is negative about down
    columns = {
        "when": t * 1e6, "n": 100 * one, "e": 200 * one, "d": -300 * one, "vn": 0 * t, "ve": one, "vd": 0 * t,
        "q0": np.cos(half), "q1": 0 * t, "q2": 0 * t, "q3": np.sin(half), "p": 0 * t, "q": 0 * t, "r": -YAW_RATE * one,
        "o1": 1100 * one, "o2": 1200 * one, "o3": 1300 * one, "o4": 1400 * one,
    }  # fmt: skip
    plan = {
        "name": "mine", "airframe": "crazyflie", "time": {"column": "when", "unit": "us"},
        "quantities": {
            "position": {"columns": ["n", "e", "d"], "unit": "cm", "frame": "NED"},
            "velocity": {"columns": ["vn", "ve", "vd"], "unit": "m/s", "frame": "NED"},
            "quaternion": {"columns": ["q0", "q1", "q2", "q3"], "order": ["w", "x", "y", "z"], "frame": "NED"},
            "rates": {"columns": ["p", "q", "r"], "unit": "rad/s", "frame": "FRD"},
            "motors": {"columns": ["o1", "o2", "o3", "o4"], "unit": "us",
                       "order": ["front-right", "back-left", "front-left", "back-right"]},
        },
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(plan))
    assert run(save(tmp_path / "a.csv", columns), "--map", tmp_path / "mine.yaml", "-o", tmp_path / "bags") == 0
    found = read(tmp_path / "bags" / "a")
    np.testing.assert_allclose(found.poses.position[0], [2, 1, 3])
    np.testing.assert_allclose(found.poses.velocity[0], [1, 0, 0])
    np.testing.assert_allclose(found.poses.rates[0], [0, 0, YAW_RATE], atol=1e-12)
    q = found.poses.quaternion  # at t = 0 it looks north, which is 90 degrees from east
    np.testing.assert_allclose(2 * np.arctan2(q[0, 2], q[0, 3]), math.pi / 2, atol=1e-9)
    assert (np.diff(np.unwrap(2 * np.arctan2(q[:, 2], q[:, 3]))) > 0).all()
    np.testing.assert_allclose((found.commands.action[0] + 1) / 2, [0.1, 0.4, 0.2, 0.3], atol=1e-6)


def hostile(tmp_path, text, *options, name="bad.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return run(tmp_path / name, "-o", tmp_path / "bags", *options)


def csv_text(columns, rows=None):
    names = list(columns)
    table = np.column_stack(list(columns.values()))[:rows]
    return ",".join(names) + "\n" + "".join(",".join(f"{v:.9g}" for v in row) + "\n" for row in table)


def damaged(column, row, cell):
    lines = csv_text(turning()).splitlines()
    cells = lines[row + 1].split(",")
    cells[list(turning()).index(column)] = cell
    return "\n".join([*lines[: row + 1], ",".join(cells), *lines[row + 2 :]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found no line, wanted a line of column names"),
        ("\n\n", "found an empty first line, wanted a line of column names"),
        (csv_text(turning(), 0), "found column names and no row, wanted rows"),
        (csv_text(turning(), 1), "position: found 1 samples, wanted at least 3"),
        ("a,b\n1,2\n", "found columns a, b ..., which no map knows"),
        ("a,a\n1,2\n", "column a: found it twice, wanted each name once"),
        (b"\xff\xfe\x00\x01", "found bytes that are no text, wanted a CSV file"),
        (gzip.compress(b"x" * 100, mtime=0)[:20], "found a damaged gzip file"),
        (damaged("gyro.x", 7, "fast"), "line 9, column gyro.x: found 'fast', wanted a number"),
        (csv_text(turning()).replace("gyro.y", "giro.y"), "rates: found no column gyro.y (there is giro.y"),
        (csv_text(turning()).replace("motor.m3", "motor.mc"), "motors: found no column motor.m3"),
        (csv_text(turning() | {"gyro.y": np.full(600, np.nan)}), "rates: found 0 samples, wanted at least 3"),
        (csv_text(turning(period=0.2)), "position: found a sample each 200 ms, wanted one at least each"),
        (csv_text(turning(5)) + csv_text(turning(5)).partition("\n")[2], "found time going back by 5.0 s, wanted one"),
        (damaged("Timestamp", 599, "1e15"), "position: found time going on by 999999999989 s at once, wanted one flight"),
        (csv_text(turning()).replace("\n", ",7\n", 3).replace(",7\n", "\n", 1), "line 2: found 26 cells, wanted 25"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_flight_is_refused_in_one_line(text, words, tmp_path, capsys):
    assert hostile(tmp_path, text) == 2
    out = capsys.readouterr().err.strip().splitlines()[-1]
    assert out.startswith("error: ") and words in out
    assert not list(tmp_path.glob("bags/*"))


@pytest.mark.parametrize("text", ["row_counts: {imu: .inf}", f"a: {'[' * 5000}{']' * 5000}", "row_counts: 5", "- 1", "a: ["])
def test_metadata_beside_a_log_that_cannot_be_used_are_refused_by_their_file(text, tmp_path, capsys):
    (tmp_path / "bad_metadata.yaml").write_text(text)
    assert hostile(tmp_path, csv_text(turning())) == 2
    assert "bad_metadata.yaml: cannot be used (" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("unit: deg/s", "unit: furlong"), "quantities.rates.unit: found 'furlong', wanted one of rad/s, deg/s, mrad/s"),
        (("frame: FLU}", "frame: NED}"), "quantities.rates.frame: found 'NED', wanted one of FLU, FRD"),
        (("unit: ms", "unit: hours"), "time.unit: found 'hours', wanted one of s, ms, us, ns"),
        (("gyro.x, gyro.y", "gyro.x"), "rates.columns: found ['gyro.x', 'gyro.z'], wanted 3 different names of columns"),
        (("  rates:", "  ratse:"), "unknown key 'quantities.ratse'; did you mean 'rates'?"),
        (("back-right, back-left", "back-left"),
         "motors.order: found ['front-right', 'back-left', 'front-left'], wanted front-right, back-right"),
        (("[1, -1, 1]", "[1, 2, 1]"), "quantities.attitude.signs: found [1, 2, 1], wanted 3 of 1 and -1"),
        (("order: [x, y, z, w]", "order: [x, y, z]"),
         "quantities.quaternion.order: found ['x', 'y', 'z'], wanted x, y, z, w in the order"),
        (("recognised_by: [Timestamp, stateEstimate.x]", "recognised_by: 3"),
         "recognised_by: found 3, wanted a list of names of columns"),
        (("name: cfclient", "nam: cfclient"), "unknown key 'nam'; did you mean 'name'?"),
    ],
)  # fmt: skip
def test_a_map_that_is_wrong_is_refused_by_the_name_of_its_key(change, words, tmp_path, capsys):
    text = column_map.text("cfclient")
    assert change[0] in text
    (tmp_path / "mine.yaml").write_text(text.replace(*change, 1))
    assert hostile(tmp_path, csv_text(turning()), "--map", str(tmp_path / "mine.yaml")) == 2
    assert words in capsys.readouterr().err


def test_a_printed_map_reads_what_the_known_one_reads(tmp_path, capsys):
    assert run("--print-map", "cfclient") == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    assert column_map.load(str(tmp_path / "mine.yaml")) == column_map.load("cfclient")
    assert run("--print-map", "none.yaml") == 2
    assert "map 'none.yaml' not found; known: cfclient, " in capsys.readouterr().err


def test_an_import_without_a_log_or_an_airframe_says_what_it_wants(tmp_path, capsys):
    assert run() == 2 and "FILE: found none" in capsys.readouterr().err
    (tmp_path / "mine.yaml").write_text(column_map.text("cfclient").replace("airframe: crazyflie", "airframe: ''"))
    assert hostile(tmp_path, csv_text(turning()), "--map", str(tmp_path / "mine.yaml")) == 2
    assert "wanted --airframe NAME" in capsys.readouterr().err
    assert airframe.load("crazyflie").action_layout == "motors"


def test_a_replay_of_an_imported_flight_says_that_no_policy_flew(turned, capsys):
    assert main.main(["replay", str(turned.path)]) == 2
    assert "no policy flew: it was imported from turn.csv.gz, which another controller flew" in capsys.readouterr().err


def test_the_steps_to_learn_from_are_those_in_the_air_with_the_reward_of_the_state_that_followed(turned):
    found = recorded_transitions.gather([turned.path], CRAZYFLIE, START, "guide")
    rows, seen = found.rows, turned.states.observation[:, 0]
    at = np.flatnonzero((turned.states.flags[:, 0] & FIRST) == 0)
    np.testing.assert_array_equal(rows.observation, seen[at])
    np.testing.assert_array_equal(rows.action, turned.commands.action[at])
    np.testing.assert_array_equal(rows.guide_action, rows.action)  # who flew takes the place of the guide
    duty = np.array([1, 2, 3, 4]) * 10000 / 65535
    paid = reward(seen[at[1:]], np.tile(np.float32(duty), (len(at) - 1, 1)), CRAZYFLIE.hover, START)
    np.testing.assert_allclose(rows.reward[:-1], paid, rtol=1e-4)
    assert (rows.flags[0] & FIRST) and not (rows.flags[1:] & FIRST).any()
    assert "flown by another controller, whose actions stand for the guide's" in found.words[0]


def test_a_lost_stretch_is_a_cut_in_what_is_learned(tmp_path):
    run(save(tmp_path / "a.csv", turning(), np.delete(np.arange(600), np.arange(300, 320))), "-o", tmp_path / "bags")
    rows = recorded_transitions.gather([tmp_path / "bags" / "a"], CRAZYFLIE, START, "guide").rows
    assert ((rows.flags & FIRST) > 0).sum() == 2


def test_a_verb_that_a_bag_cannot_serve_says_in_one_line_what_it_lacks(tmp_path, capsys):
    lacking = {"nowhere": "ctrltarget", "undriven": "motor"}
    for name, prefix in lacking.items():
        columns = {column: values for column, values in turning().items() if not column.startswith(prefix)}
        run(save(tmp_path / f"{name}.csv", columns), "-o", tmp_path / "bags")
    capsys.readouterr()
    assert main.main(["train", "--from-bag", str(tmp_path / "bags" / "nowhere")]) == 2
    assert "found no set_point, wanted one: the reward is the distance from it" in capsys.readouterr().err
    for verb in (["identify"], ["train", "--from-bag"]):
        assert main.main([*verb, str(tmp_path / "bags" / "undriven")]) == 2
        assert "found no transition and no command" in capsys.readouterr().err


def test_a_report_on_a_flight_without_set_point_makes_up_no_error(tmp_path, capsys):
    log = {name: column for name, column in turning().items() if not name.startswith("ctrltarget")}
    run(save(tmp_path / "a.csv", log), "-o", tmp_path / "bags")
    report.write(tmp_path / "a.html", [tmp_path / "bags" / "a"], lambda *_: "")
    page = (tmp_path / "a.html").read_text()
    assert "unknown: no set-point was recorded" in page and "a.csv, sha256" in page
    assert "RMS error" not in page and "fail:" not in page
