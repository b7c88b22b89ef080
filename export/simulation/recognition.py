"""Experiments without a loop: networks on sessions that they never saw (tables 1, 4 and 5, figures 3 to 6)."""

from __future__ import annotations

from collections.abc import Mapping

from device.rows import Row, row
from export.simulation import paper
from export.simulation.measures import Spread, compare_best, compare_order, product_score, two_sample_p, weighted_score
from export.simulation.run import Run
from export.simulation.sections import Panel, Section, Series, Table, number, slug, spread
from export.zoo.training import BLIND, Job

COMPARED = {"TCN-Only": "tcn_only", "TCN+LSTM": "tcn_lstm", "TCN+GAT": "tcn_gat"}
SHIPPED = "shipped int8"
STYLES = {
    "2D keypoints": "keypoints_2d",
    "IMU CNN-LSTM": "imu_cnn_lstm",
    "Segmented clips": "segmented_clips",
    "Pose embedding": "pose_embedding",
    "TCN+GAT": "tcn_gat",
}
MEASURES = (("accuracy", "accuracy", "share"), ("angle_score", "Angle-Score", "rad"), ("latency_s", "latency", "s"))
JUDGED = (
    "Accuracy (eq. 11) is the share of ticks within sets, without their first second; the Angle-Score (eq. 12) is over the ticks "
    "within sets that have a pose. Latency is from sensor to decision: the mean time from the start of a set's first repetition "
    "until the class is right and stays so for half a second, plus a step of the network, plus half a clip where only whole "
    "clips are answered. Camera and pose estimation come on top for all alike."
)


def table1(run: Run) -> Section:
    """Kinds of methods, one network of each kind."""
    lines, rows = [], []
    for title, model in STYLES.items():
        found = run.judged(Job(model))
        rows += _rows("table1", title, found)
        lines.append((title, *_cells(found), number(1000 * found["step_s"], 2), paper.TABLE_1[title]))
    found = run.shipped()
    lines.append((SHIPPED, *_cells(found), number(1000 * found["step_s"], 2), ""))
    heading = ("method", "accuracy", "Angle-Score", "latency s", "step ms", "paper")
    return Section(
        "table1",
        "Table 1: methods",
        "One network of each kind, trained on the same sessions with the same heads and recipe. " + JUDGED + " The paper quotes "
        "figures of different works on different data, so there is no order to compare.",
        (*rows, *_rows("table1", SHIPPED, found)),
        (Table(heading, tuple(lines)),),
    )


def table5(run: Run) -> Section:
    """The three structures over seeds."""
    spreads = _spreads(run)
    theirs = {"accuracy": paper.ACCURACY, "angle_score": paper.ANGLE_SCORE, "latency_s": paper.LATENCY_S}
    off = {"accuracy": paper.ACCURACY_DEVIATION, "angle_score": paper.ANGLE_DEVIATION, "latency_s": {}}
    rows, lines, panels, orders = [], [], [], []
    for title, of_measure in spreads.items():
        for measure, _, unit in MEASURES:
            name = f"simulation_table5_{slug(title)}_{measure}"
            rows += [row(name, of_measure[measure].mean, unit), row(f"{name}_deviation", of_measure[measure].deviation, unit)]
        published = (paper.ACCURACY[title], paper.ANGLE_SCORE[title], paper.LATENCY_S[title])
        ours = (spread(of_measure[m].mean, of_measure[m].deviation) for m, _, _ in MEASURES)
        lines.append((title, *ours, " / ".join(f"{value:g}" for value in published)))
    shipped = run.shipped()
    lines.append((SHIPPED, *_cells(shipped), ""))
    for measure, label, unit in MEASURES:
        means: dict[str, float | None] = {title: spreads[title][measure].mean for title in spreads}
        noise = {title: _known(spreads[title][measure].deviation) for title in spreads}
        orders.append(compare_order(_sentence(label), means, theirs[measure], noise=noise))
        ours_series = Series("ours", means | {SHIPPED: shipped[measure]}, noise)
        panels.append(
            Panel(label, "", f"{label} ({unit})", (ours_series,), (Series("paper", theirs[measure], off[measure]),), bars=True)
        )
    seeds = run.options.seeds
    return Section(
        "table5",
        "Table 5: structures",
        f"Mean and standard deviation over {seeds} seeds. {JUDGED} The shipped bundle, trained with the full recipe, is beside "
        "them for scale; it isn't part of the comparison.",
        (*rows, *_rows("table5", SHIPPED, shipped)),
        (Table(("structure", "accuracy", "Angle-Score", "latency s", "paper"), tuple(lines)),),
        tuple(panels),
        tuple(orders),
    )


def table4(run: Run) -> Section:
    """t-tests between the structures."""
    spreads = _spreads(run)
    rows, lines, remarks = [], [], []
    for (first, second), bounds in paper.TABLE_4.items():
        cells = []
        for (measure, label, _), bound in zip(MEASURES, bounds, strict=True):
            a, b = spreads[first][measure], spreads[second][measure]
            p = two_sample_p(a.values, b.values)
            rows.append(row(f"simulation_table4_{slug(first)}_{slug(second)}_{measure}_p", p))
            cells.append("-" if p is None else f"{p:.2g} (paper < {bound:g})")
            better = b.mean > a.mean if measure != "latency_s" else b.mean < a.mean
            if p is not None and p >= bound:
                remarks.append(
                    f"{_sentence(label)}: the paper tells {second} from {first} with p < {bound:g}; here p is {p:.2g}."
                )
            elif p is not None and not better:
                remarks.append(f"{_sentence(label)}: {second} differs from {first} (p = {p:.2g}), and is the worse one.")
        lines.append((f"{first} - {second}", *cells))
    return Section(
        "table4",
        "Table 4: t-tests",
        f"p of Welch's two-sample t-test, two-sided, over {run.options.seeds} seeds of each structure (table 5).",
        tuple(rows),
        (Table(("pair", *(label for _, label, _ in MEASURES)), tuple(lines)),),
        remarks=tuple(remarks),
    )


def figure3(run: Run) -> Section:
    """One score for each structure."""
    ours, products = {}, {}
    for title, of_measure in _spreads(run).items():
        means = [of_measure[measure].mean for measure, _, _ in MEASURES]
        ours[title], products[title] = weighted_score(*means), product_score(*means)
    figures = [run.shipped()[measure] for measure, _, _ in MEASURES]
    shipped = (weighted_score(*figures), product_score(*figures))
    published = [(paper.ACCURACY[t], paper.ANGLE_SCORE[t], paper.LATENCY_S[t]) for t in paper.MODELS]
    theirs = {t: weighted_score(*values) for t, values in zip(paper.MODELS, published, strict=True)}
    their_products = {t: product_score(*values) for t, values in zip(paper.MODELS, published, strict=True)}
    rows: list[Row] = []
    for title in (*ours, SHIPPED):
        s, p = shipped if title == SHIPPED else (ours[title], products[title])
        rows.append(row(f"simulation_figure3_{slug(title)}_weighted_score", s))
        rows.append(row(f"simulation_figure3_{slug(title)}_product_score", p, "1/s"))
    lines = [(t, number(ours[t]), number(theirs[t]), number(products[t]), number(their_products[t])) for t in ours]
    lines.append((SHIPPED, number(shipped[0]), "", number(shipped[1]), ""))
    return Section(
        "figure3",
        "Figure 3: structures in one score",
        "S = 0.4 accuracy + 0.4 Angle-Score - 0.2 latency (eq. 17), and accuracy x Angle-Score / latency (eq. 13 and 18, one "
        "formula), from the means of table 5; the paper's from its own table 5.",
        tuple(rows),
        (Table(("structure", "S", "paper", "P", "paper"), tuple(lines)),),
        (
            Panel("S (eq. 17)", "", "S", (Series("ours", ours | {SHIPPED: shipped[0]}),), (Series("paper", theirs),), bars=True),
            Panel(
                "P (eq. 18)", "", "P (1/s)", (Series("ours", products | {SHIPPED: shipped[1]}),),
                (Series("paper", their_products),), bars=True,
            ),
        ),
        (compare_order("S", ours, theirs), compare_order("P", products, their_products)),
    )  # fmt: skip


def figure4(run: Run) -> Section:
    """Sensors."""
    jobs = {name: Job("dense_imu" if name == "dense" else "tcn_gat", sensors=name) for name in paper.FIGURE_4}
    found = {name: run.judged(job) for name, job in jobs.items()}
    accuracies: dict[str, float | None] = {name: f["accuracy"] for name, f in found.items()}
    angles: dict[str, float | None] = {name: f["angle_score"] for name, f in found.items()}
    lines = [
        (name, *_cells(f), f"{number(paper.FIGURE_4[name])} / {number(paper.FIGURE_4_ANGLE[name])}") for name, f in found.items()
    ]
    rows = [r for name, f in found.items() for r in _rows("figure4", name, f)]
    dense = [name for name in ("accuracy", "angle_score") if found["dense"][name] > found["both"][name]]
    remarks = [f"{_label(name)}: the paper has eight and more units below four; here they are above." for name in dense]
    return Section(
        "figure4",
        "Figure 4: where the IMUs sit",
        "TCN+GAT beside the camera with no band, wrists, ankles, both, and eight units (upper arms and thighs as well; the "
        "paper's dense setting has one at every joint), each trained and judged with these sensors alone. " + JUDGED,
        tuple(rows),
        (Table(("sensors", "accuracy", "Angle-Score", "latency s", "paper accuracy / Angle-Score"), tuple(lines)),),
        (
            Panel("accuracy", "", "accuracy", (Series("ours", accuracies),), (Series("paper", paper.FIGURE_4),), bars=True),
            Panel(
                "Angle-Score", "", "Angle-Score", (Series("ours", angles),), (Series("paper", paper.FIGURE_4_ANGLE),), bars=True
            ),
        ),
        (compare_order("Accuracy", accuracies, paper.FIGURE_4), compare_order("Angle-Score", angles, paper.FIGURE_4_ANGLE)),
        tuple(remarks),
    )


def figure5(run: Run) -> Section:
    """Windows."""
    found = {str(window): run.judged(Job("tcn_gat", window=window)) for window in run.options.windows}
    accuracies: dict[str, float | None] = {name: f["accuracy"] for name, f in found.items()}
    latencies: dict[str, float | None] = {name: f["latency_s"] for name, f in found.items()}
    best = compare_best("Accuracy", accuracies, paper.FIGURE_5)
    lines = [
        (name, *_cells(f), number(paper.FIGURE_5.get(name)), number(paper.FIGURE_5_LATENCY.get(name), 2))
        for name, f in found.items()
    ]
    return Section(
        "figure5",
        "Figure 5: windows",
        "TCN+GAT with other dilations, so that an answer depends on so many ticks (30 a second); all have the same number of "
        "weights and are trained on stretches of 96 ticks. The network streams: a longer window makes nobody wait for its end. "
        + JUDGED,
        tuple(r for name, f in found.items() for r in _rows("figure5", f"window_{name}", f)),
        (Table(("window", "accuracy", "Angle-Score", "latency s", "paper accuracy", "paper latency s"), tuple(lines)),),
        (
            Panel("accuracy", "window (ticks)", "accuracy", (Series("ours", accuracies),), (Series("paper", paper.FIGURE_5),)),
            Panel("latency", "window (ticks)", "s", (Series("ours", latencies),), (Series("paper", paper.FIGURE_5_LATENCY),)),
        ),
        (
            compare_order("Accuracy", accuracies, paper.FIGURE_5, neighbours=True),
            compare_order("Latency", latencies, paper.FIGURE_5_LATENCY),
        ),
        (best,) if best else (),
    )


def figure6(run: Run) -> Section:
    """Occlusion by modality."""
    jobs = {
        "camera only": Job("tcn_gat", sensors="none"), "bands only": Job("tcn_gat", sensors=BLIND), "both": Job("tcn_gat"),
    }  # fmt: skip
    levels = run.options.occlusions
    ours: dict[str, dict[str, float | None]] = {
        # What hides the trainee from the camera changes nothing that bands feel.
        name: {str(p): run.judged(job, 0 if job.sensors == BLIND else p)["accuracy"] for p in levels}
        for name, job in jobs.items()
    }
    ours[SHIPPED] = {str(p): run.shipped(p)["accuracy"] for p in levels}
    rows = [
        row(f"simulation_figure6_{slug(name)}_occluded_{p}_accuracy", value, "share")
        for name, curve in ours.items() for p, value in curve.items()
    ]  # fmt: skip
    theirs: Mapping[str, Mapping[str, float | None]] = paper.FIGURE_6
    lines = [
        (name, *(number(v) for v in curve.values()), " / ".join(number(v) for v in theirs.get(name, {}).values()))
        for name, curve in ours.items()
    ]
    top = str(max(levels))
    at_top = {name: curve[top] for name, curve in ours.items()}
    order = compare_order(f"Accuracy at {top} % hidden", at_top, {name: curve.get(top) for name, curve in theirs.items()})
    falls = compare_order("Camera only, hidden (%)", ours["camera only"], theirs["camera only"])
    gained = ours["both"][top], ours["camera only"][top], ours["bands only"][top]
    remarks = []
    if gained[0] is not None and gained[1] is not None and gained[0] <= gained[1]:
        remarks.append(f"At {top} % hidden the bands add nothing to the camera here; in the paper they do.")
    if gained[0] is not None and gained[2] is not None and gained[0] <= gained[2]:
        remarks.append(
            f"At {top} % hidden the bands alone are as good as both here; in the paper they are below both throughout."
        )
    return Section(
        "figure6",
        "Figure 6: occlusion",
        "TCN+GAT trained with the camera alone, the bands alone and both; a share of the landmarks is hidden at any time and "
        "guessed by the estimator: limbs stray bone by bone by 2 to 10 cm, their visibility falls below 0.4 of what it was "
        "(`export/simulation/occlusion.py`).",
        tuple(rows),
        (Table(("modality", *(f"{p} %" for p in levels), "paper"), tuple(lines)),),
        (
            Panel(
                "accuracy", "landmarks hidden (%)", "accuracy", tuple(Series(name, curve) for name, curve in ours.items()),
                tuple(Series(name, curve) for name, curve in theirs.items()),
            ),
        ),
        (order, falls),
        tuple(remarks),
    )  # fmt: skip


def _spreads(run: Run) -> dict[str, dict[str, Spread]]:
    """Of each structure and measure over the seeds."""
    spreads = {}
    for title, model in COMPARED.items():
        found = [run.judged(Job(model, seed)) for seed in range(1, run.options.seeds + 1)]
        spreads[title] = {measure: Spread(tuple(f[measure] for f in found)) for measure, _, _ in MEASURES}
    return spreads


def _rows(section: str, name: str, found: Mapping[str, float]) -> list[Row]:
    return [row(f"simulation_{section}_{slug(name)}_{measure}", found[measure], unit) for measure, _, unit in MEASURES]


def _cells(found: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(number(found[measure]) for measure, _, _ in MEASURES)


def _label(measure: str) -> str:
    return _sentence(next(label for name, label, _ in MEASURES if name == measure))


def _sentence(label: str) -> str:
    return label[0].upper() + label[1:]


def _known(deviation: float) -> float:
    """0 where one seed tells no deviation."""
    return 0.0 if deviation != deviation else deviation
