"""What the viewer puts into its scene, with a scene that only remembers."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from spike_ctrl_view.stage import Stage

pytest.importorskip("trimesh")
STILL = np.eye(3)[None]


class Scene:
    """Remembers what was added, by name."""

    def __init__(self):
        self.added = []

    def __getattr__(self, name):
        def add(path, *_, **look):
            self.added.append(path)
            return SimpleNamespace(**{"color": (0, 0, 0), "position": None} | look)

        return add


@pytest.fixture
def stage():
    camera = SimpleNamespace()
    clients = {width: SimpleNamespace(camera=SimpleNamespace(image_width=width)) for width in (390, 1280)}
    server = SimpleNamespace(scene=Scene(), initial_camera=camera, get_clients=lambda: clients, atomic=nullcontext)
    return Stage(server, box=1.5, size=0.16)


def test_before_anything_is_heard_there_is_a_ground_and_a_word_that_goes_with_the_first_vehicle(stage):
    stage.wait("nothing is heard yet")
    gone = []
    stage.waits.remove = lambda: gone.append("/waits")
    assert stage.server.scene.added == ["/ground", "/box", "/waits"] and stage.shape is None
    show(stage, [(0, 0, 1)], flies=True)
    show(stage, [(0, 0, 1)], flies=True)
    assert gone == ["/waits"]


def test_a_phone_is_shown_the_vehicle_above_the_panel(stage):
    show(stage, [(0, 0, 1)], flies=True)
    phone, desk = (client.camera for client in stage.server.get_clients().values())
    vehicle = np.array([0.0, 0.0, 1.1])
    for camera, above in ((phone, 15), (desk, -5)):
        at, seen = (np.array(point) - camera.position for point in (camera.look_at, vehicle))
        degrees = [np.degrees(np.arctan2(way[2], np.hypot(*way[:2]))) for way in (at, seen)]
        assert degrees[1] - degrees[0] > above


def test_the_path_of_one_graph_is_not_drawn_with_the_next(stage):
    for height in (0.1, 0.2):
        show(stage, [(0, 0, height)])
    stage.forget_way()
    show(stage, [(0, 0, 0.2)])
    assert len(stage.way) == 1


def show(stage, position, flies=False, colour=(10.0, 20.0, 30.0)):
    count = len(position)
    colours, rotation = np.tile(colour, (count, 1)), np.repeat(STILL, count, 0)
    stage.show(np.array(position, float), rotation, colours, np.array([0.0, 0.0, 1.0]), flies)


def test_a_vehicle_moves_and_nothing_is_added_twice(stage):
    for height in (0.1, 0.2):
        show(stage, [(0, 0, height)])
    vehicle = stage.drawn["vehicles"]
    assert list(vehicle.position) == [0, 0, 0.2] and tuple(vehicle.wxyz) == (1, 0, 0, 0) and vehicle.color == (10, 20, 30)
    assert stage.server.scene.added == ["/vehicles", "/set_point", "/path", "/ground", "/box"]
    assert stage.drawn["set_point"].position[2] == 1.0


def test_several_vehicles_are_moved_together(stage):
    show(stage, [(0, 0, 0), (1, 0, 0)])
    found = stage.drawn["vehicles"]
    assert found.batched_positions.tolist() == [[0, 0, 0], [1, 0, 0]] and found.batched_colors.shape == (2, 3)


def test_a_flight_after_a_training_has_a_ground_and_new_neurons(stage):
    stage.draw_neurons([4, 2], np.zeros(6))  # nothing is drawn before the vehicles are
    show(stage, [(0, 0, 0)])
    stage.draw_neurons([4, 2], np.zeros(6))
    stage.draw_neurons([4, 2], np.ones(6))
    assert stage.server.scene.added.count("/neurons") == 1 and len(stage.drawn["neurons"].colors) == 6
    show(stage, [(0, 0, 0)], flies=True)
    assert "neurons" not in stage.drawn and stage.server.scene.added.count("/ground") == 2


def test_another_network_is_drawn_anew(stage):
    show(stage, [(0, 0, 0)])
    stage.draw_neurons([4, 2], np.zeros(6))
    stage.forget_neurons()
    stage.draw_neurons([3], np.zeros(3))
    assert stage.server.scene.added.count("/neurons") == 2


def test_a_page_that_nobody_looks_at_is_not_moved(stage):
    stage.server.get_clients = dict
    show(stage, [(0, 0, 0.1)])
    assert stage.drawn["vehicles"].position is None
