import os
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

package = "spike_ctrl"
repository = Path(__file__).resolve().parents[2]


def shared(folder: str, pattern: str) -> tuple[str, list[str]]:
    """Files of a folder at the root of the repository, installed to share/spike_ctrl/FOLDER."""
    files = sorted(glob(str(repository / folder / pattern)))
    return f"share/{package}/{folder}", [os.path.relpath(file) for file in files]


setup(
    name=package,
    version="0.1.0",
    description="Spiking quadrotor control: simulate, train, evaluate and fly; runs without ROS.",
    maintainer="spike_ctrl maintainers",
    maintainer_email="maintainers@spike-ctrl.example",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package}"]),
        (f"share/{package}", ["package.xml"]),
        shared("launch", "*.launch.py"),
        shared("config", "*.*"),
        shared("config/airframes", "*.yaml"),
        shared("config/recipes", "*.yaml"),
        shared("models", "*.safetensors"),
    ],
    # What flies: the aircraft needs no torch.
    install_requires=["setuptools", "numpy", "numba", "PyYAML", "safetensors", "pymavlink"],
    extras_require={
        "record": ["rosbags", "mcap"],
        "train": ["gymnasium", "torch>=2.4", "tensorboard", "scipy", "threadpoolctl"],
        "experiment": ["matplotlib", "plotly"],
        "bench": ["snntorch", "norse", "spikingjelly"],
        "export": ["nir", "onnx", "onnxruntime"],
        "ray": ["ray"],
        "watch": ["rich"],
        "viewer": ["rerun-sdk>=0.41"],
        "test": ["pytest", "hypothesis", "l2f", "snntorch", "nirtorch", "foundation-policy"],
    },
    entry_points={"console_scripts": ["spike-ctrl = spike_ctrl.cli.main:main"]},
    zip_safe=True,
)
