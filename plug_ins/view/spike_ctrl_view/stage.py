"""What stands in the viewer's scene: vehicles, set-point, path, ground, neurons."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spike_ctrl_view import scene

PHONE = 600  # pixels; a narrower page has its panel below and not beside the scene
SET_POINT, EDGES = (47, 148, 103), (120, 130, 145)


class Stage:
    """server: viser's. box: half the edge of the box around the origin, m. size: from the centre of a vehicle to its rotors,
    m; half of it where several fly.
    """

    def __init__(self, server: Any, box: float, size: float):
        self.server, self.box, self.size = server, box, size
        self.shape: tuple[int, bool] | None = None  # vehicles, and whether it is a flight
        self.drawn: dict[str, Any] = {}
        self.way: scene.Way = ()
        self.waits: Any = None  # the words before the first vehicles
        self.low = 0.0  # height of the ground, m

    def wait(self, words: str) -> None:
        """Put the ground and a few words into the scene, until there are vehicles."""
        self.ground(flies=True)
        self.waits = self.server.scene.add_label("/waits", words, position=(0.0, 0.0, 0.75 * self.box))

    def forget_way(self) -> None:
        """Another graph: its path begins anew."""
        self.way = ()

    def show(self, position: np.ndarray, rotation: np.ndarray, colours: np.ndarray, wanted: np.ndarray, flies: bool) -> None:
        """Draw vehicles (N, 3), m, (N, 3, 3), in colours (N, 3), and the set-point (3,). flies: it is no training."""
        self.prepare(len(position), flies)
        self.way = scene.coloured_path(self.way, position[0], tuple(colours[0]))
        if not self.server.get_clients():
            return
        with self.server.atomic():
            self.place(position, scene.quaternions(rotation), colours.astype(np.uint8))
            self.drawn["set_point"].position = wanted
            self.drawn["path"].points, self.drawn["path"].colors = scene.segments(self.way)

    def prepare(self, vehicles: int, flies: bool) -> None:
        """Put the vehicles, the set-point and the ground into the scene; anew where a flight follows a training."""
        if self.shape == (vehicles, flies):
            return
        self.shape, scenery = (vehicles, flies), self.server.scene
        if self.waits is not None:
            self.waits.remove()
            self.waits = None
        size = self.size if vehicles == 1 else self.size / 2
        vertices, faces = scene.quadrotor(size)
        still = np.tile((1.0, 0, 0, 0), (vehicles, 1)), np.zeros((vehicles, 3))
        each = np.zeros((vehicles, 3), np.uint8)  # a single colour would stay the colour of all
        self.drawn = {
            "vehicles": scenery.add_mesh_simple("/vehicles", vertices, faces)
            if vehicles == 1
            else scenery.add_batched_meshes_simple("/vehicles", vertices, faces, *still, batched_colors=each, lod="off"),
            "set_point": scenery.add_icosphere("/set_point", 0.3 * size, SET_POINT, opacity=0.7),
            "path": scenery.add_line_segments("/path", np.zeros((1, 2, 3)), EDGES, thickness=0.1 * size),
        }
        self.ground(flies)

    def ground(self, flies: bool) -> None:
        """Draw the ground of a flight, or that below the box of a training; and show it."""
        scenery, low = self.server.scene, 0.0 if flies else -self.box
        look = {"cell_color": EDGES, "section_color": EDGES, "cell_size": self.box / 3, "section_size": self.box}
        scenery.add_grid("/ground", 8 * self.box, 8 * self.box, position=(0, 0, low), **look)
        scenery.add_line_segments("/box", scene.box(self.box), EDGES, thickness=0.004 * self.box, visible=not flies)
        self.low = low
        self.aim(self.server.initial_camera, narrow=False)
        for client in self.server.get_clients().values():
            self.welcome(client)

    def welcome(self, client: Any) -> None:
        """Show a browser the middle of the scene."""
        self.aim(client.camera, narrow=client.camera.image_width < PHONE)

    def aim(self, camera: Any, narrow: bool) -> None:
        """narrow: the panel hides the lower half of the page, so the middle of the scene is shown above it, from afar."""
        away, height = (1.5, -0.75) if narrow else (1.0, 0.75)
        camera.position = (0.5 * away * self.box, -2.1 * away * self.box, self.low + 1.7 * self.box)
        camera.look_at = (0.0, 0.0, self.low + height * self.box)

    def place(self, position: np.ndarray, quaternion: np.ndarray, colours: np.ndarray) -> None:
        """Move the vehicles. A single one is a mesh of its own, which a slow browser moves with less delay."""
        vehicles = self.drawn["vehicles"]
        if len(position) == 1:
            vehicles.position, vehicles.wxyz = position[0], quaternion[0]
            if tuple(vehicles.color) != tuple(colours[0].tolist()):
                vehicles.color = tuple(colours[0].tolist())
        else:
            vehicles.batched_positions, vehicles.batched_wxyzs = position.astype(np.float32), quaternion.astype(np.float32)
            vehicles.batched_colors = colours

    def draw_neurons(self, layers: Sequence[int], spiked: np.ndarray) -> None:
        """Each neuron of the first vehicle, coloured by the share (neurons,) of the latest steps in which it spiked.

        layers: how many neurons each has.
        """
        if self.shape is None:
            return
        colours = scene.glow(spiked)
        if "neurons" in self.drawn:
            self.drawn["neurons"].colors = colours
            return
        size, up = self.box, self.box if self.shape[1] else 0.0
        places = scene.neurons(layers, size) + np.array((0.0, 0.0, up))
        look = {"point_size": 0.016 * size, "point_shape": "circle", "precision": "float32"}
        self.drawn["neurons"] = self.server.scene.add_point_cloud("/neurons", places, colours, **look)

    def forget_neurons(self) -> None:
        """Another network: its neurons are drawn anew."""
        self.drawn.pop("neurons", None)
