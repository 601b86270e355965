"""Courses: files and what is refused of them, the schema, and what is drawn."""

import math

import jsonschema
import numpy as np
import pytest
import yaml

from spike_ctrl._files import settings
from spike_ctrl._files.errors import UsageError
from spike_ctrl_racing import race_recipe, track, track_sampler
from spike_ctrl_racing.track_sampler import CLEAR, GROUND, TrackRanges

SHIPPED = sorted(track.COURSES.glob("*.yaml"))
GATE = {"position": [0, 0, 2]}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_course_names_its_source_and_fits_the_schema(path):
    assert track.load(path.stem).source
    schema = track.COURSES / "course.json"
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={schema.name}"
    assert schema.read_text() == settings.text("course", track.schema())
    jsonschema.validate(yaml.safe_load(path.read_text()), track.schema())


def test_the_split_s_has_the_published_centres():
    east, north, up = np.array([gate.position for gate in track.load("split_s").gates]).T
    assert list(east) == [-1.1, 9.2, 9.2, -4.5, -4.5, 4.75, -2.8]
    assert list(north) == [-1.6, 6.6, -4.0, -6.0, -6.0, -0.9, 6.8]
    assert list(up) == [3.6, 1.0, 1.2, 3.5, 0.8, 1.2, 1.2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gates": [GATE]}, "gates: found 1 gates, wanted a list of 2 to 32 gates"),
        ({"gates": [GATE, {}]}, "key 'gates[1].position' is missing"),
        ({"gates": [GATE, {"position": [0, 0]}]}, r"gates[1].position: found [0, 0], wanted three numbers"),
        ({"gates": [GATE, GATE | {"width": 0.1}]}, "gates[1].width: found 0.1, wanted 0.2 to 10"),
        ({"gates": [GATE, GATE | {"yow": 1}]}, "unknown key 'gates[1].yow'; did you mean 'yaw'?"),
        ({"gate": []}, "unknown key 'gate'; did you mean 'gates'?"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(tmp_path, change, words):
    path = tmp_path / "mine.yaml"
    data = {"name": "mine", "gates": [GATE, GATE]} | change
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(UsageError) as found:
        track.load(str(path))
    assert str(found.value).startswith("course mine.yaml: ") and words in str(found.value)
    assert not jsonschema.Draft202012Validator(track.schema()).is_valid(data)


def test_the_axes_of_a_gate_are_a_right_handed_frame():
    row = track.gate_row(track.Gate((1.0, 2.0, 3.0), yaw=30.0, pitch=40.0)).astype(float)
    axes = row[3:12].reshape(3, 3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert math.degrees(math.asin(axes[0, 2])) == pytest.approx(40, abs=1e-4)


def test_drawn_courses_keep_their_limits_and_have_turns_climbs_and_pairs():
    ranges = TrackRanges()
    counts, pairs, turns, climbs = set(), 0, [], 0.0
    for number in range(150):
        course = track_sampler.draw(7, number, ranges)
        at = np.array([gate.position for gate in course.gates])
        way = np.roll(at, -1, 0) - at
        spacing = np.linalg.norm(way, axis=1)
        assert spacing.min() > ranges.nearest - 1e-3 and spacing.max() < ranges.farthest + 1e-3
        apart = np.linalg.norm(at[:, None] - at[None], axis=2) + 10 * np.eye(len(at))
        assert apart.min() > CLEAR - 1e-3
        assert at[:, 2].min() >= ranges.low - 1e-3
        counts.add(len(at))
        above = np.hypot(*way[:, :2].T) < 1e-3
        pairs += above.any()
        for i in np.flatnonzero(above):
            facing = course.gates[i].yaw - course.gates[(i + 1) % len(at)].yaw
            assert math.cos(math.radians(facing)) == pytest.approx(-1, abs=1e-5)
        climbs = max(climbs, way[~above, 2].max())
        yaw = np.arctan2(way[:, 1], way[:, 0])[~above]
        turns.append(np.angle(np.exp(1j * np.diff(yaw))))
    assert counts == set(range(4, 13))
    assert 25 < pairs < 70
    assert climbs > 2
    assert np.concatenate(turns).min() < -1 and np.concatenate(turns).max() > 1


def test_wider_ranges_reach_what_the_split_s_asks_for():
    """Its lower gate stands at .8 m, 2.7 m below the upper one; its last gate is approached 74 degrees off its normal."""
    ranges = race_recipe.load("racer_gates").tracks
    apart, askew, lowest = [], [], 9.0
    for number in range(300):
        rows = np.array([track.gate_row(gate) for gate in track_sampler.draw(7, number, ranges).gates])
        at, normal, low = rows[:, :3], rows[:, 3:6], rows[:, 2] - rows[:, 13]
        assert low.min() > GROUND - 1e-3 and rows[:, 13].max() == pytest.approx(0.75)
        way = np.roll(at, -1, 0) - at
        above = np.hypot(*way[:, :2].T) < 1e-3
        apart.extend(np.abs(way[above, 2]))
        askew.append((way[~above] * np.roll(normal, -1, 0)[~above]).sum(1) / np.linalg.norm(way[~above], axis=1))
        lowest = min(lowest, at[:, 2].min())
    assert 0.74 < lowest < 0.82
    assert min(apart) < 2.75 and np.concatenate(askew).min() < 0.35


def test_a_course_is_a_function_of_seed_and_number():
    assert track_sampler.draw(3, 5) == track_sampler.draw(3, 5)
    assert track_sampler.draw(3, 5) != track_sampler.draw(3, 6) != track_sampler.draw(4, 6)


def test_ranges_without_room_are_refused():
    with pytest.raises(UsageError, match="fewest, most"):
        track_sampler.draw(0, 0, TrackRanges(fewest=9, most=5))
