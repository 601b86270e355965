from setuptools import find_packages, setup

package = "spike_ctrl_flight"

setup(
    name=package,
    version="0.1.0",
    description="Nodes of a flight: vehicle_bridge (MAVLink) and supervisor.",
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
            "vehicle_bridge = spike_ctrl_flight.vehicle_bridge_node:main",
            "supervisor = spike_ctrl_flight.supervisor_node:main",
            "flight_operator = spike_ctrl_flight.flight_operator_node:main",
        ]
    },
)
