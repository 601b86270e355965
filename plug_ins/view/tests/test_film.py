"""Films: what is seen is what was flown, and the file is a GIF that other programs open."""

import errno
import os
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorded import fly

from spike_ctrl._files import atomic_file, resources
from spike_ctrl.cli import main
from spike_ctrl.flight.faults import Rung
from spike_ctrl.report.colours import COLOURS
from spike_ctrl_view import film_canvas, flight_film, loss_film, training_film

MODEL = resources.folder("models") / "crazyflie.safetensors"
RUNGS = {
    50: (Rung.SNN, "ok: GUIDE -> SNN: agrees with the guide"),
    200: (Rung.GUIDE, "warning: SNN -> GUIDE: POLICY_SILENT (the policy did not answer in time): no answer for 27 ms"),
    260: (Rung.SILENT, "ok: GUIDE -> SILENT: landed"),
}


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film") / "bag"
    fly(folder, MODEL, ticks=300, vehicles=1, rungs=RUNGS)
    return folder


def coloured(picture, colour) -> int:
    wanted = [int(COLOURS[colour][i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - wanted).sum(-1) < 12).sum())


def test_up_is_up_east_is_to_the_right_and_what_is_farther_north_is_farther_away():
    centre, up, east, north = film_canvas.seen(np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    assert up[1] > centre[1] and up[0] == centre[0]
    assert east[0] > centre[0] and north[1] > centre[1]


def test_a_level_vehicle_is_drawn_level_and_one_on_its_side_is_not():
    east_west = film_canvas.arms(np.zeros((1, 3)), np.eye(3)[None], 0.1).reshape(-1, 2)
    heights = {round(float(film_canvas.seen(np.array([x, y, 0]))[1]), 6) for x in (-1, 1) for y in (-1, 1)}
    assert {round(float(y * np.sqrt(2) / 0.1), 6) for y in east_west[:, 1]} == heights
    rolled = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # its left side is up
    left_front = film_canvas.arms(np.zeros((1, 3)), rolled[None], 0.1)[0, 0]
    assert left_front[1] > east_west[:, 1].max()


def test_a_film_of_a_flight_is_in_the_colour_of_who_flies_and_says_why(bag):
    flown = flight_film.flight(bag)
    assert flown.rung[0] == Rung.SNN and flown.rung[-1] == Rung.GUIDE
    assert flown.time[-1] == pytest.approx((260 - 50) * 0.01, abs=2 * flown.step)
    takes_over = int(np.flatnonzero(flown.rung == Rung.GUIDE)[0])
    assert flown.said[takes_over] == "the policy did not answer in time"
    pictures = list(islice(flight_film.frames(flown), takes_over + 1))
    assert coloured(pictures[0], 0) > 1000 and not coloured(pictures[0], 1)
    assert coloured(pictures[-1], 1) > 1000


def test_the_command_writes_a_gif_that_repeats_and_lasts_as_long_as_the_flight(bag, tmp_path, capsys):
    target = tmp_path / "flight.gif"
    assert main.main(["film", str(bag), "-o", str(target)]) == 0
    film = Image.open(target)
    assert film.format == "GIF" and film.is_animated and film.info["loop"] == 0
    assert film.size == (flight_film.WIDTH, flight_film.HEIGHT)
    shown = 0
    for frame in range(film.n_frames):
        film.seek(frame)
        shown += film.info["duration"]
    assert shown / 1e3 == pytest.approx(2.1 + flight_film.LENGTH[1], abs=0.2)
    assert f"film: {target}, " in capsys.readouterr().out


def test_a_model_catches_all_of_its_vehicles():
    flown = training_film.fly_stage(training_film.TrainingStage(MODEL, "model"), 8)
    frames = len(flown.position)
    assert (flown.lost_at == frames).all()
    assert np.abs(flown.position[-1]).max() < 0.2 < np.abs(flown.position[0]).max()
    assert np.allclose(flown.attitude[-1] @ np.swapaxes(flown.attitude[-1], 1, 2), np.eye(3), atol=1e-3)


def test_a_run_is_shown_early_to_late_and_an_older_one_by_its_policy_alone(tmp_path):
    shutil.copy(MODEL, tmp_path / "policy.safetensors")
    assert [stage.path.name for stage in training_film.stages(tmp_path)] == ["policy.safetensors"]
    (tmp_path / "stages").mkdir()
    for steps in (3200, 0, 100):
        shutil.copy(MODEL, tmp_path / "stages" / f"{steps:012d}.safetensors")
    assert [stage.path.stem.lstrip("0") for stage in training_film.stages(tmp_path)] == ["", "100", "3200", "policy"]


def test_of_many_stages_the_film_shows_those_in_which_something_is_learned():
    def kept(saved):
        return training_film.ThrownVehicles(
            np.zeros((5, 10, 3)), np.zeros((5, 10, 3, 3)), np.where(np.arange(10) < saved, 5, 1)
        )

    assert training_film.telling([kept(saved) for saved in (0, 0, 2, 2, 6, 10, 10)]) == [0, 2, 4, 6]
    assert training_film.telling([kept(10)]) == [0]
    assert training_film.telling([kept(0), kept(10)]) == [0, 1]


def test_a_film_of_a_lost_rotor_shows_it_from_the_failure_on_with_spikes_and_yaw_rate():
    lost = resources.folder("models") / "crazyflie_any_rotor.safetensors"
    flown = loss_film.fly_loss(lost, 0.8)
    fails = int(loss_film.FAILS_AT * 100)
    assert flown.spikes.shape == (1000, 2) and 0 < flown.spikes.mean() < 1
    assert np.abs(flown.yaw_rate[:fails]).max() < 3 < np.abs(flown.yaw_rate[-1])  # it can hover only by turning
    assert np.linalg.norm(flown.position - flown.set_point, axis=1).max() < 3
    pictures = list(loss_film.frames(flown, 0.8, every=100))
    before, after = (coloured(pictures[at // 100][:, :500], 4) for at in (fails - 100, fails + 100))
    assert len(pictures) == 10 and after > before == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nosuch"],
            "nosuch: found nothing, wanted a model (.safetensors), a run (a folder with metrics.jsonl), "
            "a folder of runs, or a bag",
        ),
        (["runs"], "runs: found a folder of runs, wanted a model, one of the runs, or a bag"),
        ([str(MODEL), "-o", "film.mp4"], "--output: found film.mp4, wanted a name that ends in .gif"),
        ([str(MODEL), "--vehicles", "0"], "--vehicles: found 0, wanted 1 to 2000"),
        ([str(MODEL), "--rotor-loss", "1.5"], "--rotor-loss: found 1.5, wanted 0 to 1"),
        (
            [str(MODEL), "--rotor-loss", "1", "--vehicles", "3"],
            f"--rotor-loss: found with {MODEL}, wanted with a model, without --vehicles",
        ),
    ],
)
def test_what_cannot_be_filmed_is_refused_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "metrics.jsonl").touch()
    assert main.main(["film", *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not list(Path().glob("*.*"))


def test_a_recorded_training_is_no_flight_to_film(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL, ticks=20)
    assert main.main(["film", str(tmp_path / "bag"), "-o", str(tmp_path / "film.gif")]) == 2
    assert "found no flight with reports of a supervisor" in capsys.readouterr().err
    assert not (tmp_path / "film.gif").exists()


def test_a_full_disk_is_one_line_and_leaves_no_film(monkeypatch, capsys, tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic_file, "_sync", full)
    film = tmp_path / "film.gif"
    assert main.main(["film", str(MODEL), "--vehicles", "1", "-o", str(film)]) == 2
    assert capsys.readouterr().err.endswith(f"error: {film}: cannot be written (No space left on device)\n")
    assert not list(tmp_path.iterdir())
