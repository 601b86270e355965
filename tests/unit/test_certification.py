"""The certification: seeds replay a flight, the bound is exact, a run goes on, and what it flies is what it says.

- the bound agrees with the binomial distribution itself
- the same seed gives the same flight, to the last bit
- faults do what their names say: a cut link is silent, a stopped process wakes, a flipped velocity is flipped
- a Monte-Carlo run that was interrupted flies only what is missing; a cluster flies the same, with the same code only
"""

import contextlib
import gc
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from output import children
from scipy.stats import binom
from struck_flight import fault, fly

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification import injected_fault, monte_carlo, moving_scenario
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import FlightOutcome, outcome
from spike_ctrl.certification.flight_parts import VirtualClock
from spike_ctrl.certification.injected_fault import FIRST_FAMILIES, KINDS, SEEDED, struck_rows
from spike_ctrl.certification.link_injection import LinkInjection, ProcessInjection
from spike_ctrl.certification.monte_carlo import MonteCarloRun
from spike_ctrl.certification.safety_statistics import by_family, by_fault_row, upper_bound
from spike_ctrl.certification.signal_injection import OF_STATES, SignalInjection
from spike_ctrl.cli.main import main
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.policy import checkpoint

pytestmark = pytest.mark.slow

MODEL = resources.find("models", "sih_quadx.safetensors")
STATE = Sample(1, 1.0, 1.0, (0.1, 0.2, 1.0), (0.0, 0.0, 0.0, 1.0), (1.0, -2.0, 0.5), (0.1, 0.0, -0.1))


@pytest.mark.parametrize(("broken", "flights"), [(0, 10), (0, 10_000), (3, 200), (17, 40)])
def test_at_the_bound_so_few_would_come_by_chance_in_one_of_twenty(broken, flights):
    assert binom.cdf(broken, flights, upper_bound(broken, flights)) == pytest.approx(0.05)


def test_the_bound_of_nothing_good_is_one():
    assert upper_bound(5, 5) == 1.0


def test_every_family_comes_equally_often_and_only_its_own_faults_strike():
    for seed in range(5 * len(SEEDED)):
        for draw, families in ((moving_scenario.draw, FIRST_FAMILIES), (moving_scenario.draw_whole, SEEDED)):
            drawn = draw(seed)
            places = {fault.place for fault in drawn.faults}
            assert drawn.family == families[seed % len(families)]
            assert {"none": not places, "pair": len(places) == 2}.get(drawn.family, places == {drawn.family})


def test_every_aim_lies_where_set_points_may_lie():
    low, high = moving_scenario.Cage().laid((0.0, 0.0, 0.0)).box
    for seed in range(100):
        for aim in moving_scenario.draw(seed).aims:
            for half in range(20):
                point = aim.course.at(half / 2) if hasattr(aim.course, "at") else aim.course
                assert all(a - 1e-6 <= p <= b + 1e-6 for p, a, b in zip(point.position, low, high, strict=True))


def test_calls_happen_in_order_and_those_that_they_ask_for_too():
    clock, seen = VirtualClock(), []
    clock.at(2.0, seen.append, "second")
    clock.at(1.0, lambda: (seen.append("first"), clock.at(1.5, seen.append, "between")))
    clock.at(math.inf, seen.append, "never")
    clock.run(3.0)
    assert seen == ["first", "between", "second"] and clock.now == 3.0


def test_the_same_seed_gives_the_same_flight_to_the_last_bit(who):
    first, again = (fly(who, moving_scenario.draw(15)) for _ in range(2))
    assert first.steps == again.steps and outcome(first) == outcome(again) and len(first.steps) > 100


def test_a_healthy_flight_is_flown_by_the_policy_and_stays_inside(who):
    flown = outcome(fly(who, moving_scenario.draw(20)))
    assert flown.family == "none" and not flown.alarm and flown.outside < 0 and flown.last == "SNN"


def test_a_cut_link_is_silent_for_so_long():
    link = LinkInjection([fault("link", "cut", 1.0, 2.0)])
    assert link.states(0.5) == [0.0] and link.states(1.5) == [] and link.command(1.5) is None and link.command(2.0) == 0.0


def test_a_stopped_process_wakes_and_a_killed_one_does_not():
    stopped = ProcessInjection([fault("process", "guide_stopped", 1.0, 1.5)])
    assert stopped.wakes("guide", 1.2) == 1.5 and stopped.wakes("guide", 1.5) == 1.5 and stopped.wakes("policy", 1.2) == 1.2
    assert ProcessInjection([fault("process", "companion_killed")]).wakes("bridge", 3.0) == math.inf


def test_a_flipped_velocity_is_flipped_and_a_drift_grows():
    flipped = SignalInjection(fault("state", "velocity_flipped"), OF_STATES)(STATE, 1.5)
    assert flipped == STATE._replace(velocity=(-1.0, 2.0, -0.5))
    drifted = SignalInjection(fault("state", "position_drifts"), OF_STATES)(STATE, 3.0)
    assert drifted.position == pytest.approx((1.1, 0.2, 1.0)) and drifted.velocity == STATE.velocity


@pytest.mark.parametrize(("place", "kind"), [(place, kind) for place, kinds in KINDS.items() for kind in kinds])
def test_every_fault_can_be_flown(who, place, kind):
    drawn = moving_scenario.draw(20)
    struck = injected_fault.draw(place, 0.85, np.random.default_rng(1), kind)  # the policy flies from .8 s on
    core = fly(who, drawn._replace(family=place, faults=(struck,), duration=1.05))
    assert core.vehicle.now >= 1.0 or not core.vehicle.commander.armed


def test_a_killed_policy_is_followed_by_the_guide_within_its_deadline(who):
    drawn = moving_scenario.draw(20)
    struck = fault("process", "policy_killed", 2.0)
    core = fly(who, drawn._replace(family="process", faults=(struck,), duration=3.0))
    assert [rung for _, rung, _ in core.moves][-1] is Rung.GUIDE
    assert outcome(core).reaction < 0.045


def test_a_campaign_goes_on_where_it_was_interrupted(tmp_path):
    begun = MonteCarloRun(tmp_path, MODEL)
    flown = [found.outcome for found in begun.fly(2, 1, lambda: 0.0)]
    (tmp_path / "flights.jsonl").open("a").write('{"seed": 2, "fam')  # killed while it wrote
    again = MonteCarloRun(tmp_path, MODEL)
    assert again.missing(3) == [2] and list(map(repr, again.outcomes.values())) == list(map(repr, flown))
    list(again.fly(3, 1, lambda: 0.0))
    assert MonteCarloRun(tmp_path, MODEL).missing(3) == []
    main(["certify", str(MODEL), "--folder", str(tmp_path), "--flights", "1"])  # the page keeps what was flown
    assert json.loads((tmp_path / "certificate.json").read_text())["flights"] == 3


@pytest.mark.parametrize("seed", ["-1", "99999999999"])
def test_a_flight_that_no_seed_has_is_not_replayed(seed, tmp_path, capsys):
    assert main(["certify", str(MODEL), "--replay", seed, "--folder", str(tmp_path / "none")]) == 2
    assert f"--replay: found {seed}, wanted 0 to 2157483648" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_second_campaign_in_a_folder_is_refused_while_the_first_flies_and_goes_on_after_its_death(tmp_path, capsys):
    command = ["certify", str(MODEL), "--folder", str(tmp_path), "--workers", "1", "--flights"]
    first = subprocess.Popen([sys.executable, "-m", "spike_ctrl.cli.main", *command, "400"], stdout=subprocess.DEVNULL)
    try:
        begun, deadline = tmp_path / "flights.jsonl", time.monotonic() + 120
        while not (begun.exists() and begun.read_bytes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert main([*command, "2"]) == 2
        assert f"{begun}: another process is writing to it: wait until it ends" in capsys.readouterr().err
    finally:
        first.kill()
        first.wait()
    there = len(MonteCarloRun(tmp_path, MODEL).outcomes)
    assert there > 0 and len(list(MonteCarloRun(tmp_path, MODEL).fly(there + 1, 1, lambda: 0.0))) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_workers_end_with_a_campaign_that_is_killed_or_interrupted(tmp_path, number, code):
    command = [sys.executable, "-m", "spike_ctrl.cli.main", "certify", str(MODEL), "--flights", "400", "--workers", "2"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    begun = subprocess.Popen([*command, "--folder", str(tmp_path)], **quiet, start_new_session=True)
    flown = tmp_path / monte_carlo.FLIGHTS
    try:
        until(lambda: flown.exists() and flown.read_text())
        left = children(begun.pid)
        used = cpu_seconds(left)
        last = dict(used)

        def gone():
            last.update(now := cpu_seconds(left))
            return not now

        (os.killpg if number == signal.SIGINT else os.kill)(begun.pid, number)  # a terminal tells all its processes
        until(gone)
        assert begun.wait(30) == code
    finally:
        begun.kill()
        begun.wait()
    assert len(left) >= 2
    assert sum(last.values()) - sum(used.values()) < 2.0  # workers that went on with their flights would use 4 s and more


def test_two_models_of_one_file_name_are_refused_before_any_flies(tmp_path, capsys):
    models = [tmp_path / name / "policy.safetensors" for name in "ab"]
    assert main(["certify", *map(str, models), "--flights", "1"]) == 2
    assert "MODEL: found two files of one name" in capsys.readouterr().err


def cpu_seconds(processes):
    """CPU time so far of each of these processes that has not ended."""
    found = {}
    for process in processes:
        with contextlib.suppress(OSError):
            user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
            found[process] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return found


def until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def test_a_flight_that_is_over_is_not_kept():
    def alive():
        return sum(type(found) is FlightCore for found in gc.get_objects())

    gc.collect()
    data, before = checkpoint.read(MODEL), alive()
    for seed in (1, 2):  # 9000 flights of a worker had taken 2.7 GB
        monte_carlo._fly(str(MODEL), data, [seed], None, time.process_time)
        assert alive() <= before + 1


def test_a_cluster_flies_the_same_flights(tmp_path):
    here = [found.outcome for found in MonteCarloRun(tmp_path / "here", MODEL).fly(2, 1, lambda: 0.0)]

    def elsewhere(function, tasks, folder):
        assert folder == tmp_path / "there" and list(tasks) == ["flights 0 to 1"]
        return (function(*arguments) for arguments in tasks.values())

    there = [found.outcome for found in MonteCarloRun(tmp_path / "there", MODEL).fly(2, 1, lambda: 0.0, elsewhere)]
    assert list(map(repr, there)) == list(map(repr, here))


def test_a_folder_of_other_flights_is_refused_by_name(tmp_path):
    MonteCarloRun(tmp_path, MODEL)
    with pytest.raises(UsageError, match=r"campaign.json: first: found 0, wanted 5: give another --folder"):
        MonteCarloRun(tmp_path, MODEL, first=5)


def test_a_campaign_of_one_family_flies_that_family_and_its_folder_takes_no_other(tmp_path):
    flown = [found.outcome for found in MonteCarloRun(tmp_path, MODEL, 1, "none").fly(2, 1, lambda: 0.0)]
    assert [outcome.family for outcome in flown] == ["none", "none"]
    assert repr(monte_carlo.refly(2, MODEL, family="none")[0]) == repr(flown[1])
    with pytest.raises(UsageError, match=r"campaign.json: family: found none, wanted None: give another --folder"):
        MonteCarloRun(tmp_path, MODEL, 1)


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    MonteCarloRun(tmp_path, MODEL)
    good = json.dumps(FlightOutcome(0, "none", "walls", "none", "", -1.0, 0.0, math.nan, "", "SNN", 9.0)._asdict())
    (tmp_path / "flights.jsonl").write_text(f"{good}\nnonsense\n{good}\n")
    with pytest.raises(UsageError, match=r"flights.jsonl: line 2: found no flight"):
        MonteCarloRun(tmp_path, MODEL)


def test_a_family_that_broke_the_promise_is_counted_once():
    good = FlightOutcome(1, "policy", "walls", "", "", -1.0, 0.0, 0.03, "", "HOLD", 9.0)
    row, everything = by_family([good, good._replace(outside=0.5, hit=2.0)])
    assert (row.family, row.flights, row.exits, row.hits) == ("policy", 2, 1, 1)
    assert row.bound == upper_bound(1, 2) and everything.family == "all faults that can be seen"
    left = good._replace(family="autopilot", outside=30.0)  # by the autopilot's own estimate: counted apart, as `unseen`
    apart = [(row.family, row.exits) for row in by_family([good, left])]
    assert apart == [("policy", 0), ("autopilot", 1), (everything.family, 0)]


def test_each_row_of_the_fault_table_that_can_be_struck_in_motion_has_its_own_faults_and_figures():
    kinds = {f"{place} {kind}" for place, kinds in KINDS.items() for kind in kinds}
    named = [kind for found in struck_rows().values() for kind in found]
    assert len(named) == len(set(named)) and set(struck_rows()) <= {r for f in Fault for r in f.rows}
    left_out = {kind.split()[0] for kind in kinds - set(named)}
    assert left_out == {"plant", "operator", "unseen"}  # no row speaks of them; an operator may land and disengage
    flown = FlightOutcome(3, "link", "walls", "link cut", "", 0.4, 0.0, 0.1, "", "SILENT", 9.0)
    (row,) = by_fault_row([flown, flown._replace(what="plant gust"), flown._replace(outside=-1.0)])
    assert (row.family, row.flights, row.exits, row.worst) == ("row 20", 2, 1, 0.4)
