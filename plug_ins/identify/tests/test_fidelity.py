"""From logs to verdict, as a user does it: import, identify, fidelity. On simulated logs, and on real ones where they are.

SPIKE_CTRL_FLIGHTS names a folder with flights of NanoBench (*.csv.gz); short cuts of two of them are then made and used.
"""

import csv
import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from recorded import write_flight
from simulated_flight import simulate

from spike_ctrl import airframe
from spike_ctrl.cli import main
from spike_ctrl.learn import recipe as recipes
from spike_ctrl_identify import fidelity

FLIGHTS = os.environ.get("SPIKE_CTRL_FLIGHTS", "")
COLUMNS = (
    "t px py pz qx qy qz qw vx vy vz wx_vicon wy_vicon wz_vicon imu_acc_x imu_acc_y imu_acc_z imu_gyro_x imu_gyro_y "
    "imu_gyro_z motor_motor_m1 motor_motor_m2 motor_motor_m3 motor_motor_m4 est_stateEstimate_x est_stateEstimate_y "
    "est_stateEstimate_z est_stateEstimate_vx est_stateEstimate_vy est_stateEstimate_vz att_stateEstimate_qx "
    "att_stateEstimate_qy att_stateEstimate_qz att_stateEstimate_qw sp_ctrltarget_x sp_ctrltarget_y sp_ctrltarget_z "
    "sp_ctrltarget_yaw pwr_pm_vbat"
).split()


def log(path, flight):
    """A simulated flight as NanoBench logs one."""
    state, count = flight.state, len(flight.state)
    motors = np.round(65535 * flight.command)
    aim = np.zeros((count, 4))
    acceleration = np.tile([0, 0, 1.0], (count, 1))
    parts = [
        1.7e9 + np.arange(count)[:, None] / 100, state[:, :10], state[:, 10:], acceleration, state[:, 10:], motors,
        state[:, :3], state[:, 7:10], state[:, 3:7], aim, flight.voltage[:, None],
    ]  # fmt: skip
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(np.hstack(parts).round(9).tolist())


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flights")
    logs = [folder / f"flight{n}.csv.gz" for n in range(2)]
    for n, path in enumerate(logs):
        log(path, simulate(trim=((-1) ** n * 1e-4, 1e-4, 0), charge=0.9 - 0.3 * n, seconds=14, seed=n))
    assert main.main(["import", *map(str, logs), "-o", str(folder / "bags")]) == 0
    return [folder / "bags" / f"flight{n}" for n in range(2)]


@pytest.fixture(scope="module")
def identified(bags):
    path = bags[0].parent.parent / "mine.yaml"
    held_out = ["--hold-out", "flight1", "flight1"]  # named twice, it is one of two
    command = ["identify", *map(str, bags), *held_out, "-o", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKE_CTRL_COMMAND", " ".join(["spike-ctrl", *command]))  # what the user typed
        assert main.main(command) == 0
    return path


def test_identify_writes_an_airframe_and_a_recipe_for_its_battery_and_trims(identified):
    craft, plan = airframe.load(identified), recipes.load(identified.with_name("mine_recipe.yaml"))
    assert craft.inertia[0] == pytest.approx(1.6e-5, rel=0.15) and craft.battery is not None
    around, real = plan.task.randomisation, recipes.find("real").task.randomisation
    assert (around.charge_low, around.charge_high, around.sensors) == (real.charge_low, real.charge_high, real.sensors)
    assert 100 * craft.dead_time + around.delay <= 4
    head = identified.read_text()
    assert head.startswith("# Made by: ") and "--hold-out flight1" in head and "trim torque of flight0" in head


def test_fidelity_prints_the_airframe_beside_simple_predictions_and_writes_page_and_figures(
    identified, bags, capsys, tmp_path
):
    page, figures = tmp_path / "fidelity.html", tmp_path / "fidelity.json"
    command = ["fidelity", str(identified), *map(str, bags), "--lstm-steps", "2", "-o", str(page), "--json", str(figures)]
    assert main.main(command) == 0
    shown = capsys.readouterr().out
    for way in ("hold the last state", "constant velocity and rates", "LSTM", "mine"):
        assert f"\n{way} " in shown
    assert "no packet lost" not in shown  # none is: the line would be that of the airframe again
    errors = {name: np.array(error["mean"]) for name, error in json.loads(figures.read_text())["errors"].items()}
    assert (errors["mine"][2] < 0.5 * errors["constant velocity and rates"][2]).all()
    assert page.stat().st_size > 1e6 and page.with_suffix(".png").stat().st_size > 1e4


def test_fidelity_tells_apart_the_starts_ahead_of_which_no_packet_was_lost(identified, capsys, tmp_path):
    flight = simulate(charge=0.8, seconds=14, seed=2)
    gap = np.linspace(0, 1, 13)[:, None]  # as the logs of NanoBench fill one
    for logged in (flight.state, flight.command):
        logged[700:713] = logged[700] + gap * (logged[712] - logged[700])
    log(tmp_path / "lossy.csv.gz", flight)
    bags, page = tmp_path / "bags", tmp_path / "fidelity.html"
    assert main.main(["import", str(tmp_path / "lossy.csv.gz"), "-o", str(bags)]) == 0
    assert main.main(["fidelity", str(identified), str(bags / "lossy"), "--no-lstm", "-o", str(page)]) == 0
    assert "\nmine, no packet lost " in capsys.readouterr().out


def test_one_flight_tells_no_intervals():
    errors = np.arange(32.0).reshape(2, 4, 4)
    assert "(" not in fidelity.fidelity_table([fidelity.Errors("mine", errors[:1])])
    assert "8.0000 (0.0000-16.0000)" in fidelity.fidelity_table([fidelity.Errors("mine", errors)])
    assert fidelity.counted(1, 380) == "1 flight, 380 starts; no intervals, which need several flights"
    assert fidelity.counted(2, 760) == "2 flights, 760 starts; 95 % intervals over flights"


def test_leave_one_out_predicts_each_flight_by_the_others(identified, bags, capsys, tmp_path):
    figures = tmp_path / "fidelity.json"
    command = ["fidelity", str(identified), *map(str, bags), "--no-lstm", "--leave-one-out", "--json", str(figures)]
    assert main.main(command) == 0
    errors = {name: np.array(error["mean"]) for name, error in json.loads(figures.read_text())["errors"].items()}
    assert (errors["fitted to the other flights"][2] < 0.5 * errors["hold the last state"][2]).all()
    told = capsys.readouterr().err
    assert re.search(r"\d:\d\d left, 1/2 fits, each to the other flights: flight0 is judged\n", told)


@pytest.mark.parametrize(
    "more, message",
    [
        (["--hold-out", "flight7"], "hold-out flight7: found no such bag, wanted names of the bags given"),
        (["--hold-out", "flight0", "flight1"], "hold-out: found all flights held out, wanted at least one to fit"),
    ],
)
def test_what_cannot_be_held_out_is_said(bags, capsys, tmp_path, more, message):
    assert main.main(["identify", *map(str, bags), "-o", str(tmp_path / "mine.yaml"), *more]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize(
    "more, message",
    [
        (["-o", "page.png"], "--output, --json: found page.png, page.png, wanted page, picture and figures apart"),
        (["-o", "page.html", "--json", "page.html"], "found page.html, page.png, page.html, wanted page, picture"),
        (["--ahead", "0.5"], "--ahead: found it alone, wanted --leave-one-out beside it"),
        (["--lstm-steps", "0"], "--lstm-steps: found 0, wanted 1 to 1000000"),
        (["--seed", "-1"], "--seed: found -1, wanted 0 to 4294967295"),
    ],
)
def test_one_file_for_two_results_and_numbers_out_of_range_are_refused(more, message, capsys):
    assert main.main(["fidelity", "crazyflie_real", "no-bag", *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("error")
def test_a_horizon_without_a_start_is_no_number_and_no_warning():
    errors = np.arange(32.0).reshape(2, 4, 4)
    errors[:, 3] = np.nan
    found = fidelity.Errors("mine", errors)
    assert np.isnan(found.mean[3]).all() and np.isfinite(found.mean[:3]).all() and np.isnan(found.interval()[:, 3]).all()


def test_an_airframe_by_rates_is_refused(bags, capsys):
    assert main.main(["fidelity", "sih_quadx", str(bags[0])]) == 2
    assert "action_layout: found 'rates', wanted 'motors'" in capsys.readouterr().err


def test_a_flight_by_rates_is_refused_without_advice_that_cannot_be_followed(tmp_path, capsys):
    state, action = np.zeros((50, 13)), np.zeros((49, 4))
    state[:, 6] = 1
    write_flight(tmp_path / "bag", state, action, action, "rates")
    assert main.main(["fidelity", "crazyflie", str(tmp_path / "bag")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'bag'}: found no motor commands of a flight, wanted them" in error and "--airframe" not in error


@pytest.mark.skipif(not FLIGHTS, reason="needs real flights: SPIKE_CTRL_FLIGHTS=FOLDER with *.csv.gz of NanoBench")
def test_the_shipped_airframe_predicts_real_flights(tmp_path, capsys):
    cuts = []
    for path in sorted(Path(FLIGHTS).glob("*_slow_*.csv.gz"))[:2]:
        with gzip.open(path, "rt") as source, gzip.open(tmp_path / path.name, "wt") as cut:
            cut.writelines(line for _, line in zip(range(2000), source, strict=False))
        cuts.append(tmp_path / path.name)
    assert len(cuts) == 2, f"{FLIGHTS}: found {len(cuts)} files *_slow_*.csv.gz, wanted two"
    assert main.main(["import", *map(str, cuts), "-o", str(tmp_path / "bags")]) == 0
    figures = tmp_path / "fidelity.json"
    bags = map(str, sorted((tmp_path / "bags").iterdir()))
    assert main.main(["fidelity", "crazyflie_real", *bags, "--no-lstm", "--json", str(figures)]) == 0
    errors = json.loads(figures.read_text())["errors"]
    real, naive = (np.array(errors[name]["mean"]) for name in ("crazyflie_real", "constant velocity and rates"))
    assert (real[1:3] < naive[1:3]).all()
    assert real[1, 0] < 0.0016 and real[1, 1] < 0.031 and real[2, 0] < 0.045 and real[2, 1] < 0.21
