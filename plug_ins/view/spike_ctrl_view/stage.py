"""What stands in the viewer's scene: vehicles, set-point, path, ground, neurons."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spike_ctrl_view import scene

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
        low = 0.0 if flies else -self.box
        look = {"cell_color": EDGES, "section_color": EDGES, "cell_size": self.box / 3, "section_size": self.box}
        scenery.add_grid("/ground", 8 * self.box, 8 * self.box, position=(0, 0, low), **look)
        scenery.add_line_segments("/box", scene.box(self.box), EDGES, thickness=0.004 * self.box, visible=not flies)
        for camera in (self.server.initial_camera, *(client.camera for client in self.server.get_clients().values())):
            camera.position = (0.5 * self.box, -2.1 * self.box, low + 1.7 * self.box)
            camera.look_at = (0.0, 0.0, low + 0.75 * self.box)

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
