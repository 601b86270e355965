"""The figures that arXiv 2510.24461 reports, read from its text, tables and figures. Reports show them beside ours."""

RETURN = 400  # TD3BC+JSRL on its own curriculum reward
FIGURE = {"TD3BC + jump start": (320, 435), "TD3": (10, 10)}  # range of the ends of its learning curves
HOURS = 6  # of training, on an M4 Pro

# Section 4: best return and epochs to a return of 100 by schedule of the surrogate slope.
SLOPES = {
    "BC": {"k = 2": (232, 22), "k = 50": (259, 22), "k = 100": (222, 29), "interval": (232, 20), "adaptive": (251, 15)},
    "TD3": {"k = 2": (383, 42), "k = 50": (164, 161), "k = 100": (174, 149), "interval": (292, 37), "adaptive": (381, 50)},
}

# Section 5: 4 hidden layers of 64, 100 initialisations, by slope k. The output layer does not change with k.
INPUT_GRADIENT = {1: 3.8e-6, 10: 1.7e-8, 25: 1.4e-9, 50: 2.1e-10, 100: 2.8e-11}
INPUT_COSINE = {1: 0.03, 10: 0.37, 25: 0.70, 50: 0.90, 100: 1.0}
OUTPUT_GRADIENT, OUTPUT_COSINE = 4e-5, 1.0

# Section 7: return, and its deviation where one is given. "At most -200" is said of BC, TD3BC and TD3 without a jump
# start; the paper's figure shows TD3 at about +10 and the ablation another scale.
ABLATION = {
    "TD3BC + jump start": (412, 7),
    "TD3 + jump start": (334, 26),
    "TD3BC": (32, 1),
    "TD3": (36, 4),
    "BC": (-200, None),
}

# Section 7: cost of one control step.
ENERGY = {
    "SNN 256-128": {"macs": 4.6e3, "acs": 12.2e3, "dense": 37.9e3, "sparsity": 0.79, "footprint_kb": 158.3, "energy_nj": 97},
    "ANN 64-64, 32 actions": {"macs": 13.7e3, "acs": 0, "dense": 13.7e3, "footprint_kb": 55.3},
}
