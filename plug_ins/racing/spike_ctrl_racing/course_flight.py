"""What a flight along a course needs, where its launch does not say it: height, time and cage.

`spike-ctrl launch flight vehicle:=embedded auto:=true trajectory:=course:split_s`, and with a policy that races
`... airframe:=racer model:=racer_gates trajectory:=course:my_course.yaml`
"""

from typing import Any

KIND = "course"
ROOM = 12.0  # m around the way: from 4 m/s an autopilot brakes within 8 m, and a set-point is granted .72 of that speed
AFTER = 2.0  # s at the end of the way
FLOOR = -0.5  # m, as of the default cage: below the ground, where the vehicle stands
SLOWEST = 2.0  # m/s, of a race that is not yet late
TOLD: list[str] = []  # what a hall must leave free
ROOMS: list[Any] = []  # of the race, where one is flown


def prepare(context: Any) -> None:
    """Take off to the height of the course's start, fly to its end, in a cage with room to brake."""
    TOLD.clear()  # of another launch in this process
    ROOMS.clear()
    values = context.launch_configurations
    kind, _, words = values.get("trajectory", "").partition(":")
    if kind != KIND:
        return
    if _races(values):
        _prepare_race(values)
        return
    from spike_ctrl_racing import course_trajectory  # slow: not before other flights

    path = course_trajectory.read(words)
    low, high = (path.position - path.position[0]).min(0), (path.position - path.position[0]).max(0)
    top = float(path.position[:, 2].max())
    values.setdefault("height", f"{path.start[2]:.2f}")
    values.setdefault("duration", f"{path.time + AFTER:.1f}")
    values.setdefault("cage", _corners([*(low[:2] - ROOM), FLOOR, *(high[:2] + ROOM), top + ROOM]))


def check(context: Any) -> None:
    """Refuse a race that the policy does not complete in simulation, or that the cage cannot hold. Raises ValueError."""
    from spike_ctrl import airframe
    from spike_ctrl.control.geometric_guide import Gains
    from spike_ctrl.flight.flight_settings import settings_for
    from spike_ctrl.learn import recipe, teacher
    from spike_ctrl_racing.race_settings import RaceLimits

    values = context.launch_configurations
    if ROOMS and teacher.gains(recipe.find(values["recipe"])) != Gains():
        raise ValueError(f"recipe: found '{values['recipe']}', wanted default: the stops of a race are those of its guide")
    if ROOMS and values.get("setpoint"):
        raise ValueError(f"setpoint: found '{values['setpoint']}', wanted none: a race begins above the take-off's place")
    for room in ROOMS:
        limits, cage = RaceLimits(), settings_for(airframe.load(values["airframe"]), 100.0, values["cage"]).cage
        if (done := sum(race.complete for race in room.races)) < len(room.races) - 1:
            raise ValueError(f"trajectory: found {done} of {len(room.races)} simulated races completed: {room}")
        if (fast := max(race.fastest for race in room.races)) > limits.speed:
            raise ValueError(
                f"trajectory: found {fast:.1f} m/s in a simulated race, wanted at most {limits.speed} m/s: {room}"
            )
        if room.lowest < limits.floor:
            found = f"found a stop that ends {room.lowest:.2f} m above the ground, wanted {limits.floor} m: raise its gates"
            raise ValueError(f"trajectory: {found}")
        free = min(
            *(a - b for a, b in zip(room.low[:2], cage.low, strict=False)),
            *(b - a for a, b in zip(room.high, cage.high, strict=True)),
        )
        if cage.relative and free < limits.margin:
            found = f"found {free:.2f} m between the cage and a stop of the race, wanted {limits.margin} m"
            raise ValueError(f"cage: {found}: {room}")


def first(context: Any) -> list[Any]:
    """Say what a hall must leave free for a race."""
    from launch.actions import LogInfo

    return [LogInfo(msg=line) for line in TOLD]


def _races(values: dict[str, str]) -> bool:
    """Whether the policy sees gates; its name may be one of this package."""
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_racing import race_verb

    if not (model := values.get("model", "")):
        return False
    if model in race_verb.shipped():
        values["model"] = model = str(race_verb.find_model(model))
    contract = checkpoint.about(checkpoint.read(model), model).contract
    values.setdefault("airframe", contract.airframe)
    return bool(contract.sight)


def _prepare_race(values: dict[str, str]) -> None:
    """A race in simulation tells the room, in which the cage lies where none is given."""
    from spike_ctrl import airframe
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_racing import course_path, flown_words, race_room

    words = flown_words.read(values["trajectory"])
    craft = airframe.load(values["airframe"])
    room = race_room.room(checkpoint.load(values["model"]).policy, words, craft)
    ROOMS.append(room)
    values.setdefault("recipe", "default")  # its guide leans more than that of recipe rates, and is the one of a stop
    values.setdefault("height", f"{course_path.start(words.track)[2]:.2f}")
    values.setdefault("duration", f"{words.rounds * words.track.length / SLOWEST:.1f}")
    values.setdefault("cage", _corners(list(room.cage)))
    TOLD.append(f"{values['trajectory']}: {room}; keep-in box {values['cage']}")


def _corners(corners: list[float]) -> str:
    return ",".join(f"{corner:.2f}" for corner in corners)
