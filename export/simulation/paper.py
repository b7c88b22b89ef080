"""The published figures (Song, doi 10.65102/is2026879), as read from its tables and text; what it only draws is None.

Shares are 0..1, latencies s.
"""

from __future__ import annotations

MODELS = ("TCN-Only", "TCN+LSTM", "TCN+GAT")
ACCURACY = {"TCN-Only": 0.882, "TCN+LSTM": 0.904, "TCN+GAT": 0.924}
ANGLE_SCORE = {"TCN-Only": 0.815, "TCN+LSTM": 0.846, "TCN+GAT": 0.879}
LATENCY_S = {"TCN-Only": 2.4, "TCN+LSTM": 2.1, "TCN+GAT": 1.8}
"""Table 5."""
ACCURACY_DEVIATION = {"TCN-Only": 0.006, "TCN+LSTM": 0.005, "TCN+GAT": 0.005}
ANGLE_DEVIATION = {"TCN-Only": 0.007, "TCN+LSTM": 0.006, "TCN+GAT": 0.006}

TABLE_1 = {
    "2D keypoints": "about 45 ms (PAF)",
    "IMU CNN-LSTM": "accuracy 0.80 to 0.90, at most 50 ms",
    "Segmented clips": "accuracy about 0.90 (FineGym)",
    "Pose embedding": "2.1 s (PoseCoach)",
    "TCN+GAT": "accuracy 0.924, Angle-Score 0.879, at most 1.8 s",
}
TABLE_2 = {"local": (1.1, 0.847), "server": (2.6, 0.913), "hybrid": (1.8, 0.924)}
"""Placement: latency, hit rate."""
TABLE_3 = {
    "without GAT": (0.881, 0.827, 2.4),
    "without angle refinement": (0.903, 0.841, 2.1),
    "without dual feedback": (0.915, 0.863, 2.0),
    "complete": (0.924, 0.879, 1.8),
}
"""Accuracy, Angle-Score, latency."""
TABLE_4 = {
    ("TCN-Only", "TCN+LSTM"): (0.01, 0.01, 0.05),
    ("TCN+LSTM", "TCN+GAT"): (0.05, 0.05, 0.05),
    ("TCN-Only", "TCN+GAT"): (0.001, 0.001, 0.01),
}
"""p is below this: accuracy, Angle-Score, latency."""

FIGURE_4: dict[str, float | None] = {"none": 0.898, "wrists": 0.910, "ankles": 0.903, "both": 0.926, "dense": None}
FIGURE_4_ANGLE: dict[str, float | None] = {"none": 0.826, "wrists": None, "ankles": None, "both": 0.881, "dense": None}
FIGURE_5: dict[str, float | None] = {"32": 0.906, "48": 0.921, "64": 0.928, "80": 0.913, "96": 0.909}
FIGURE_5_LATENCY: dict[str, float | None] = {"32": 1.52, "48": None, "64": None, "80": 2.05, "96": None}
FIGURE_6: dict[str, dict[str, float | None]] = {
    "camera only": {"0": 0.916, "15": None, "30": None, "45": 0.857},
    "bands only": {"0": None, "15": None, "30": None, "45": None},
    "both": {"0": None, "15": None, "30": 0.929, "45": 0.91},
}
"""Both at 45 %: more than that."""
FIGURE_7_HIT: dict[str, float | None] = {"3": 0.784, "5": None, "7": 0.915, "9": None, "11": 0.921, "13": None}
FIGURE_7_FALSE: dict[str, float | None] = {"3": 0.189, "5": None, "7": 0.118, "9": None, "11": None, "13": None}
FIGURE_8: dict[str, dict[str, float | None]] = {
    "TCN-Only": {"1": None, "2": None, "3": None, "4": None, "5": 5.3},
    "TCN+LSTM": {"1": 6.8, "2": None, "3": None, "4": None, "5": 4.2},
    "TCN+GAT": {"1": 6.9, "2": None, "3": None, "4": None, "5": 3.6},
}
FIGURE_9: dict[str, dict[str, float | None]] = {
    "TCN-Only": {"1": 2.45, "2": 2.31, "3": 2.34, "4": 2.27, "5": 2.29},
    "TCN+LSTM": {"1": 2.18, "2": None, "3": 1.97, "4": 2.06, "5": 1.94},
    "TCN+GAT": {"1": 1.92, "2": None, "3": 1.79, "4": 1.85, "5": 1.76},
}
FIGURE_10: dict[str, dict[str, float | None]] = {
    "TCN-Only": {"slow": 0.862, "normal": None, "fast": 0.819},
    "TCN+LSTM": {"slow": 0.891, "normal": None, "fast": 0.852},
    "TCN+GAT": {"slow": 0.914, "normal": 0.906, "fast": 0.892},
}
