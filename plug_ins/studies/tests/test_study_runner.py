"""An experiment's folder and runner: what is finished is kept and not measured again, and what differs is refused."""

import argparse
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from fake_ray import FakeRay
from toy_units import ORIGIN, measured, run

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.json_lines import plain
from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli import main
from spike_ctrl_studies import ray_cluster, ray_option, study, study_folder, worker_pool
from spike_ctrl_studies.figures import MissingPackage
from spike_ctrl_studies.study import StudyOptions, Unit

DEADLINE = 60.0

# --- the folder ---


@pytest.mark.installed
def test_the_folder_holds_config_raw_lines_files_table_and_report(toy, tmp_path, monkeypatch):
    monkeypatch.delenv("TOY_WITHOUT_TORCH")
    path = run(tmp_path / "out", workers=2).path
    config = json.loads((path / "config.json").read_text())
    assert (config["experiment"], config["airframe"], config["origin"]) == ("toy", "crazyflie", ORIGIN)
    assert [unit["name"] for unit in config["units"]] == ["n-0", "n-1", "n-2"]
    assert json.loads((path / "raw" / "n-2.jsonl").read_text()) == {"kind": "result", "square": 4}
    assert (path / "runs" / "n-2" / "note.txt").read_text() == "2"
    assert list(csv.reader((path / "table.csv").open())) == [["unit", "square"], ["n-0", "0"], ["n-1", "1"], ["n-2", "4"]]
    assert "| n-2 | 4 |" in (path / "table.md").read_text() and "| n-2 | 4 |" in (path / "report.md").read_text()
    assert not [file for file in path.rglob("*") if file.name.endswith("tmp")]


def test_workers_have_one_thread_each_and_share_the_units(toy, tmp_path):
    run(tmp_path / "out", StudyOptions(seeds=6), workers=2)
    found = measured(tmp_path)
    assert sorted(n for n, _, _ in found) == list("012345")
    assert {threads for _, _, threads in found} == {"1"}
    assert len({process for _, process, _ in found}) == 2 and str(os.getpid()) not in {process for _, process, _ in found}


def test_a_finished_unit_is_not_measured_again(toy, tmp_path):
    path = run(tmp_path / "out").path
    (path / "raw" / "n-1.jsonl").unlink()
    (path / "table.csv").unlink()
    shown = []
    run(tmp_path / "out", show=shown.append)
    assert [n for n, _, _ in measured(tmp_path)] == ["0", "1", "2", "1"]
    assert "2 of 3 units are done" in shown[0]
    assert (path / "table.csv").read_text().endswith("n-2,4\n")


def test_a_finished_folder_is_only_reported_again(toy, tmp_path):
    path = run(tmp_path / "out").path
    before = (path / "report.md").read_text()
    (path / "report.md").unlink()
    run(tmp_path / "out")
    assert (path / "report.md").read_text() == before and len(measured(tmp_path)) == 3


def test_the_same_command_goes_on_with_its_unfinished_folder_and_with_no_other(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_1", "raise")
    with pytest.raises(UsageError):
        run(stamp="20260101-000000")
    other = run(options=StudyOptions(seeds=1), stamp="20260101-000001").path
    monkeypatch.delenv("TOY_1")
    path = run(stamp="20260101-000002").path
    assert path.name == "toy-20260101-000000" and other.name == "toy-20260101-000001"
    assert [n for n, _, _ in measured(tmp_path)] == ["0", "1", "0", "1", "2"]
    assert run(stamp="20260101-000003").path.name == "toy-20260101-000003"  # the old one is finished


def test_another_experiment_in_the_folder_is_refused_by_what_differs(toy, tmp_path):
    run(tmp_path / "out")
    for options, words in (
        (StudyOptions(seeds=4), "seeds: found 0 in config.json, wanted 4"),
        (StudyOptions(airframe="crazyflie_l2f"), "airframe: found 'crazyflie' in config.json, wanted 'crazyflie_l2f'"),
    ):
        with pytest.raises(UsageError) as caught:
            run(tmp_path / "out", options)
        assert words in str(caught.value) and "--output" in str(caught.value)
    toy.EXTRA = {"changed": True}
    with pytest.raises(UsageError, match=r"unit n-0, n-1, n-2: recipe or settings are not those in config\.json"):
        run(tmp_path / "out")


def test_the_number_of_seeds_may_be_said_or_left_to_the_default(toy, tmp_path):
    run(tmp_path / "out")
    run(tmp_path / "out", StudyOptions(seeds=3))
    assert len(measured(tmp_path)) == 3


def test_a_folder_of_other_files_is_refused(toy, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"found files but no config\.json, wanted a new folder"):
        run(tmp_path / "out")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_config_is_refused_by_name(text, toy, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"config\.json"):
        run(tmp_path / "out")


# --- what goes wrong ---


def test_a_unit_that_raises_is_named_in_one_line_and_what_is_finished_stays(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_1", "raise")
    with pytest.raises(UsageError) as caught:
        run(tmp_path / "out")
    message = str(caught.value)
    assert message.startswith("unit n-1: ValueError: no good at all; traceback: ") and "\n" not in message
    assert "ValueError: no good" in (tmp_path / "out" / "failed" / "n-1.txt").read_text()
    assert (tmp_path / "out" / "raw" / "n-0.jsonl").exists() and not (tmp_path / "out" / "raw" / "n-1.jsonl").exists()


def test_a_worker_that_is_killed_is_named_with_its_signal(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_1", "die")
    with pytest.raises(UsageError, match=r"unit n-1: its process ended by itself \(killed by SIGKILL\)"):
        run(tmp_path / "out")
    assert (tmp_path / "out" / "raw" / "n-0.jsonl").exists()


def test_closing_the_events_ends_the_workers(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_0", str(tmp_path / "never"))
    events = worker_pool.events("toy", [Unit("n-0", {"n": 0})], 1, time.monotonic, ORIGIN)
    assert next(events).text == "half way"
    ((_, process, _),) = measured(tmp_path)
    assert alive(int(process))
    events.close()
    assert not alive(int(process))


def test_workers_end_when_the_experiment_is_killed(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_0", str(tmp_path / "never"))
    code = (
        "import time; from pathlib import Path; from spike_ctrl_studies import study_runner; "
        "from spike_ctrl_studies.study import StudyOptions\n"
        "if __name__ == '__main__':\n"
        "    study_runner.run('toy', StudyOptions(seeds=1), out=Path('out'), stamp='', workers=1, ray='', "
        "clock=time.monotonic, unit_clock=time.process_time, origin={}, show=print)\n"
    )
    (tmp_path / "main.py").write_text(code)
    parent = subprocess.Popen([sys.executable, "main.py"], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: measured(tmp_path))
    finally:
        parent.kill()
        parent.wait()
    ((_, process, _),) = measured(tmp_path)
    wait_until(lambda: not alive(int(process)))


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_ray_that_is_not_installed_is_said_before_anything_is_made(toy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="--ray needs the package ray: pip install"):
        run(tmp_path / "out", ray="auto")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["matplotlib", "plotly"])
def test_a_package_that_draws_and_is_missing_is_said_before_anything_is_measured(package, toy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=f"experiment needs the package {package}: pip install {package}"):
        run(tmp_path / "out")
    assert measured(tmp_path) == []


def test_a_cluster_makes_the_same_folder_as_local_workers(toy, tmp_path, monkeypatch):
    local = run(tmp_path / "local").path
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    remote = run(tmp_path / "remote", ray="here").path
    assert ray.ended
    for name in ("raw/n-2.jsonl", "runs/n-2/note.txt", "table.csv", "report.md", "config.json"):
        assert (local / name).read_bytes() == (remote / name).read_bytes(), name


def test_a_cluster_that_does_not_answer_or_loses_a_unit_is_one_line(toy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    with pytest.raises(UsageError, match=r"--ray there: found no cluster that answers \(nothing at there really\)"):
        run(tmp_path / "out", ray="there")
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UsageError, match=rf"--ray {address}: cannot be reached \(Connection refused\)"):
            run(tmp_path / "out", ray=address)
    monkeypatch.setitem(sys.modules, "ray", FakeRay(lost=lambda event: event.unit.name == "n-1"))
    with pytest.raises(UsageError, match=r"unit n-1: lost on the cluster 3 times \(node died\)"):
        run(tmp_path / "out", ray="here")
    assert (tmp_path / "out" / "raw" / "n-0.jsonl").exists()


def test_a_unit_that_is_lost_once_is_begun_again_and_the_folder_tells_it_and_the_cost(toy, tmp_path, monkeypatch, capsys):
    lost = []

    def once(event):
        return event.unit.name == "n-1" and not (lost or lost.append(1))

    monkeypatch.setitem(sys.modules, "ray", FakeRay(once))
    run(tmp_path / "out", ray="here")
    costs = [json.loads(line) for line in (tmp_path / "out" / "machines.jsonl").read_text().splitlines()]
    assert [(cost["task"], cost["results"], cost["lost"]) for cost in costs] == [
        ("unit n-0", 1, ""), ("unit n-1", 0, "node died"), ("unit n-2", 1, ""), ("unit n-1", 1, ""),
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "unit n-1: lost with its machine or process, begun again (node died)" in said
    assert "core s each" in said and said.rstrip().endswith("begun again: 1")


def test_a_cluster_knows_few_tasks_at_a_time_and_gets_what_is_large_once(tmp_path, monkeypatch):
    ray, put = FakeRay(), []
    monkeypatch.setattr(ray, "put", lambda value: put.append(value) or value)
    monkeypatch.setitem(sys.modules, "ray", ray)
    tasks = {f"task {n}": (float(n), b"a model") for n in range(50)}
    list(ray_cluster.results(spread_of, tasks, tmp_path, "here", lambda line: None))
    assert put == [b"a model"] and ray.most <= ray_cluster.AHEAD


def spread_of(number, model):
    return study.spread([number, len(model)])


spread_of.__module__ = study.__name__  # whose sources are compared


def test_a_machine_with_other_sources_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    monkeypatch.setattr(ray_cluster, "sources", lambda module, found=iter(("one", "another")): next(found))
    with pytest.raises(UsageError, match=r"task 0: .* 012345: sources: found another, wanted one: install this spike_ctrl"):
        list(ray_cluster.results(spread_of, {"task 0": (1.0, b"")}, tmp_path, "here", lambda line: None))


def test_certify_flies_on_a_cluster_where_ray_names_one(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    for address, results in (("", None), ("here", ["1:01", "2:02"])):
        options = argparse.Namespace(ray=address, elsewhere=None)
        assert ray_option.run(options) is None
        tasks = {"flights 0 to 3": (61.0,), "flights 4 to 7": (122.0,)}
        assert (options.elsewhere and sorted(options.elsewhere(time_left, tasks, tmp_path))) == results


# --- the verb ---


def refused(capsys, *arguments):
    assert main.main(["experiment", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["headline", "--workers", "0"], "--workers: found 0, wanted 1 to 1024"),
        (["headline", "--seeds", "-1"], "--seeds: found -1, wanted 0 to 1000"),
        (["headline", "--recipe", "tdbc"], "recipe 'tdbc' not found; known: "),
        (["headline", "--airframe", "sih_quadx"], "airframe sih_quadx: action_layout: found 'rates', wanted 'motors'"),
        (["ablation", "--recipe", "default"], "--recipe default: algorithm: found 'bptt', wanted 'td3bc'"),
        (["energy", "--seeds", "3"], "--seeds: found 3, wanted none: experiment energy repeats no training"),
        (["gradients", "--recipe", "td3bc"], "--recipe: found 'td3bc', wanted none: its networks are not trained"),
        (["critics", "--recipe", "default"], "--recipe default: algorithm: found 'bptt', wanted 'td3bc'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_a_folder_is_made(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(capsys, *arguments).startswith(message)
    assert not list(tmp_path.iterdir())


def test_help_lists_every_experiment_with_examples(capsys):
    with pytest.raises(SystemExit):
        main.main(["experiment", "--help"])
    shown = capsys.readouterr().out
    assert "spike-ctrl experiment headline --seeds 5" in shown
    names = ("headline", "gradients", "slopes", "ablation", "published", "critics", "energy")
    assert all(f"  {name} " in shown for name in names)


def test_an_interrupted_experiment_says_that_the_same_command_goes_on(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_1", str(tmp_path / "go"))
    code = "import sys; from spike_ctrl.cli import main\nif __name__ == '__main__': sys.exit(main.main(sys.argv[1:]))\n"
    (tmp_path / "main.py").write_text("import spike_ctrl_studies.study\n" + code)
    command = [sys.executable, "main.py", "experiment", "toy", "--seeds", "2"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: [n for n, _, _ in measured(tmp_path)] == ["0", "1"])
        first.send_signal(signal.SIGTERM)
        shown, _ = first.communicate(timeout=DEADLINE)
    finally:
        first.kill()
    assert first.returncode == 130 and "the same command goes on" in shown
    (tmp_path / "go").write_text("")
    second = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=DEADLINE)
    assert second.returncode == 0 and "1 of 2 units are done" in second.stdout
    assert [n for n, _, _ in measured(tmp_path)] == ["0", "1", "1"]


def test_experiments_name_their_units_for_files_and_without_doubles():
    for name in ("headline", "gradients", "slopes", "ablation", "published", "critics", "energy"):
        units = study.find(name).units(StudyOptions(quick=True))
        names = [unit.name for unit in units]
        assert len(set(names)) == len(names) >= 2
        assert all(study_folder.safe(unit.name) == unit.name for unit in units)
        assert plain(units[0].settings) == json.loads(json.dumps(units[0].settings))


def test_an_unknown_experiment_is_refused_by_name():
    with pytest.raises(UsageError, match="experiment: found 'nonsense', wanted one of headline, methods, additions"):
        study.find("nonsense")
