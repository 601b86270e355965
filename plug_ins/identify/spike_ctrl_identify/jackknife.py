"""Covariance of a fit from what leaving out each of its blocks changes: errors within a block may be correlated.

Where there are enough flights each is a block, so that the intervals contain what differs between flights.
"""

import numpy as np
from scipy.stats import t as student

ENOUGH = 4  # flights, of which each is a block; of fewer, stretches are


def jackknife(curvatures: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Covariance (P, P), to first order in what each block does to the estimate.

    curvatures (G, P, P), scores (G, P): second and first derivatives of each block's cost at the estimate.
    """
    count, total = len(scores), curvatures.sum(0)
    total = total + 1e-6 * np.diag(np.diag(total) + 1e-9)
    left_out = np.linalg.solve(total - curvatures, (scores - scores.mean(0))[..., None])[..., 0]
    left_out -= left_out.mean(0)
    return (count - 1) / count * left_out.T @ left_out


def linear(columns: np.ndarray, errors: np.ndarray, weights: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Covariance (P, P) of a weighted linear fit with columns (K, P) and what it leaves (K,). blocks (K,): their numbers."""
    parts = [blocks == block for block in np.unique(blocks)]
    curvatures = np.array([(columns[part] * weights[part, None]).T @ columns[part] for part in parts])
    scores = np.array([-(columns[part] * (weights * errors)[part, None]).sum(0) for part in parts])
    return jackknife(curvatures, scores)


def half_width(blocks: int) -> float:
    """Half a 95 % interval in deviations that were taken from so many independent blocks (Student)."""
    return float(student.ppf(0.975, max(blocks - 1, 1)))
