from setuptools import find_packages, setup

package = "spike_ctrl_sim"

setup(
    name=package,
    version="0.1.0",
    description="Nodes simulator (a batch of quadrotors in lockstep, or one in real time) and px4_backend (one on a PX4).",
    maintainer="spike_ctrl maintainers",
    maintainer_email="maintainers@spike-ctrl.example",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package}"]),
        (f"share/{package}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "simulator = spike_ctrl_sim.simulator_node:main",
            "px4_backend = spike_ctrl_sim.px4_backend_node:main",
        ]
    },
)
