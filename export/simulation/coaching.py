"""Experiments with a trainee who hears the corrections, and the main figures (tables 2 and 3, figures 7 to 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from statistics import fmean, median
from typing import Any

from device.rows import Row, row
from export.simulation import paper
from export.simulation.drill import REPS_PER_ROUND, ROUNDS
from export.simulation.measures import compare_best, compare_order
from export.simulation.recognition import COMPARED, SHIPPED
from export.simulation.run import Run
from export.simulation.sections import Panel, Section, Series, Table, number, slug
from export.zoo.training import Job

Outcomes = Sequence[Mapping[str, Any]]

LOOP = (
    "Virtual trainees do a set of ten repetitions of every exercise, each with one error from its first repetition on, and hear "
    "and feel the corrections; landmarks have the errors of the real estimator, drawn without rendering. A hit is an error of at "
    "least the threshold that was rightly corrected in its set; a correction is false where no error of that joint and direction "
    "of half the threshold was there in the last three repetitions."
)
FEEDBACK = (
    "Latency is from the moment at which an error first passes the threshold until the trainee has its correction: when the "
    "motor runs, or by voice alone when the words are over."
)


def main_figures(run: Run) -> Section:
    """The shipped bundle against its limits."""
    top = max(run.options.occlusions)
    clear, hidden = run.streamed("both", 0), run.streamed("both", top)
    camera, bands = run.streamed("camera only", 0), run.streamed("bands only", 0)
    camera_hidden = run.streamed("camera only", top)
    demos = run.drilled(None, run.demos())
    rows = [
        row("simulation_accuracy", clear["accuracy"], "share", at_least=0.98),
        row("simulation_angle_score", clear["angle_score"], "rad", at_least=0.93),
        row("simulation_clip_accuracy", clear["clip_accuracy"], "share"),
        row(f"simulation_occluded_{top}_accuracy", hidden["accuracy"], "share", at_least=0.95 if top == 45 else None),
        row(f"simulation_occluded_{top}_angle_score", hidden["angle_score"], "rad"),
        row("simulation_camera_only_accuracy", camera["accuracy"], "share"),
        row("simulation_camera_only_angle_score", camera["angle_score"], "rad"),
        row(f"simulation_camera_only_occluded_{top}_accuracy", camera_hidden["accuracy"], "share"),
        row("simulation_bands_only_accuracy", bands["accuracy"], "share"),
        row("simulation_hit_rate", hit_rate(demos), "share", at_least=0.95),
        row("simulation_false_rate", false_rate(demos), "share", at_most=0.05),
    ]
    published = {
        "simulation_accuracy": "0.924", "simulation_angle_score": "0.879", "simulation_occluded_45_accuracy": "> 0.91",
        "simulation_hit_rate": "0.915", "simulation_false_rate": "0.118",
    }  # fmt: skip
    amounts = run.material.amounts
    return Section(
        "main",
        "The shipped bundle",
        "Int8, on the device's own runtime, streamed through the device's core. Accuracy and Angle-Score: "
        f"{amounts.unseen_clips} rendered sets of bodies and habits that nothing was trained or tuned on, landmarks found by the "
        f"real estimator, each from a cold start. Hit rate and false triggers at 9 degrees: {run.options.demos} sessions as "
        "`spotter demo` has them (seeds 401 on), with real pictures and the trainee in the loop; "
        f"{_sum(demos, 'injected')} errors, {_sum(demos, 'corrections')} corrections.",
        tuple(rows),
        (
            Table(
                ("figure", "ours", "limit", "paper"),
                tuple((r.name, number(r.value), r.limit or "", published.get(r.name, "")) for r in rows),
            ),
        ),
    )


def table2(run: Run) -> Section:
    """Placement, as far as there is one."""
    demos = run.drilled(None, run.demos())
    latency, hits = feedback_s(demos), hit_rate(demos)
    lines = [("local", number(latency, 2), number(hits), *(f"{v:g}" for v in paper.TABLE_2["local"]))]
    lines += [(name, "-", "-", *(f"{v:g}" for v in paper.TABLE_2[name])) for name in ("server", "hybrid")]
    return Section(
        "table2",
        "Table 2: placement",
        f"All of Spotter runs on the device, so only the local part exists. The sessions of the main figures. {FEEDBACK}",
        (row("simulation_table2_local_latency_s", latency, "s"), row("simulation_table2_local_hit_rate", hits, "share")),
        (Table(("placement", "latency s", "hit rate", "paper latency s", "paper hit rate"), tuple(lines)),),
    )


def table3(run: Run) -> Section:
    """Ablations, each trained without the part."""
    normal, by_voice = run.drills(), run.drills(feedback="voice")
    outcomes = {
        "without GAT": run.drilled(Job("tcn_only"), normal),
        "without angle refinement": run.drilled(Job("shown_angles"), normal),
        "without dual feedback": run.drilled(Job("tcn_gat"), by_voice),
        "complete": run.drilled(Job("tcn_gat"), normal),
    }
    figures: dict[str, tuple[float | None, ...]] = {
        name: (_mean(o, "accuracy"), _mean(o, "angle_score"), feedback_s(o), hit_rate(o)) for name, o in outcomes.items()
    }
    rows: list[Row] = []
    for name, (accuracy, angle, latency, hits) in figures.items():
        rows += [
            row(f"simulation_table3_{slug(name)}_accuracy", accuracy, "share"),
            row(f"simulation_table3_{slug(name)}_angle_score", angle, "rad"),
            row(f"simulation_table3_{slug(name)}_latency_s", latency, "s"),
            row(f"simulation_table3_{slug(name)}_hit_rate", hits, "share"),
        ]
    lines = [
        (name, *(number(v) for v in values), " / ".join(f"{v:g}" for v in paper.TABLE_3[name]))
        for name, values in figures.items()
    ]
    orders, panels = [], []
    for i, label in enumerate(("Accuracy", "Angle-Score", "Latency")):
        ours: dict[str, float | None] = {name: values[i] for name, values in figures.items()}
        theirs: dict[str, float | None] = {name: values[i] for name, values in paper.TABLE_3.items()}
        orders.append(compare_order(label, ours, theirs))
        panels.append(Panel(label, "", label, (Series("ours", ours),), (Series("paper", theirs),), bars=True))
    return Section(
        "table3",
        "Table 3: what each part is worth",
        f"{LOOP} Without GAT and without angle refinement are trained so (TCN-Only; TCN+GAT whose angles are the landmarks' "
        f"own); without dual feedback has the complete network and a coach that only speaks. {FEEDBACK}",
        tuple(rows),
        (Table(("", "accuracy", "Angle-Score", "latency s", "hit rate", "paper"), tuple(lines)),),
        tuple(panels),
        tuple(orders),
    )


def figure7(run: Run) -> Section:
    """Thresholds."""
    outcomes = {f"{t:g}": run.drilled(None, run.drills(threshold_deg=t)) for t in run.options.thresholds}
    hits = {name: hit_rate(o) for name, o in outcomes.items()}
    false = {name: false_rate(o) for name, o in outcomes.items()}
    rows = [row(f"simulation_figure7_{slug(name)}_deg_hit_rate", value, "share") for name, value in hits.items()]
    rows += [row(f"simulation_figure7_{slug(name)}_deg_false_rate", value, "share") for name, value in false.items()]
    lines = [
        (
            name, number(hits[name]), number(false[name]), str(_sum(o, "injected")), str(_sum(o, "corrections")),
            f"{number(paper.FIGURE_7_HIT.get(name))} / {number(paper.FIGURE_7_FALSE.get(name))}",
        )
        for name, o in outcomes.items()
    ]  # fmt: skip
    best = compare_best("Hit rate", hits, paper.FIGURE_7_HIT)
    return Section(
        "figure7",
        "Figure 7: threshold",
        f"The shipped bundle. {LOOP} Each threshold is judged by itself: what it must catch and what justifies a correction move "
        "with it. Below an exercise's own tolerance of a joint the tolerance counts.",
        tuple(rows),
        (Table(("degrees", "hit rate", "false triggers", "errors", "corrections", "paper hit / false"), tuple(lines)),),
        (
            Panel("hit rate", "degrees", "share", (Series("ours", hits),), (Series("paper", paper.FIGURE_7_HIT),)),
            Panel("false triggers", "degrees", "share", (Series("ours", false),), (Series("paper", paper.FIGURE_7_FALSE),)),
        ),
        (
            compare_order("Hit rate by threshold", hits, paper.FIGURE_7_HIT),
            compare_order("False triggers by threshold", false, paper.FIGURE_7_FALSE),
        ),
        (best,) if best else (),
    )  # fmt: skip


def figure8(run: Run) -> Section:
    """Errors over rounds."""
    curves = _rounds(run, "error_deg")
    return _over_rounds(
        "figure8",
        "Figure 8: error over rounds",
        f"{LOOP} A round is {REPS_PER_ROUND} repetitions of a set. Error: how far the joints that do wrong are from the right "
        "movement at their largest, mean over the errors.",
        "mean joint error (degrees)", "deg", curves, paper.FIGURE_8,
    )  # fmt: skip


def figure9(run: Run) -> Section:
    """Latency over rounds."""
    curves = _rounds(run, "decided_s")
    return _over_rounds(
        "figure9",
        "Figure 9: latency over rounds",
        f"{LOOP} A round is {REPS_PER_ROUND} repetitions of a set. Latency: from the true end of a repetition until it was "
        "counted and judged, with the time that poses take and ticks wait; an error is gone after its correction, so how long "
        "corrections take can't be asked round by round.",
        "latency (s)", "s", curves, paper.FIGURE_9,
    )  # fmt: skip


def figure10(run: Run) -> Section:
    """Tempo."""
    tempos = ("slow", "normal", "fast")
    ours: dict[str, dict[str, float | None]] = {
        title: {tempo: hit_rate(run.drilled(job, run.drills(tempo=tempo))) for tempo in tempos}
        for title, job in _coaches().items()
    }
    theirs: Mapping[str, Mapping[str, float | None]] = paper.FIGURE_10
    rows = [
        row(f"simulation_figure10_{slug(title)}_{tempo}_hit_rate", value, "share")
        for title, curve in ours.items() for tempo, value in curve.items()
    ]  # fmt: skip
    lines = [
        (title, *(number(v) for v in curve.values()), " / ".join(number(v) for v in theirs.get(title, {}).values()))
        for title, curve in ours.items()
    ]
    orders = [compare_order(f"Hit rate of {title} by tempo", ours[title], theirs[title]) for title in COMPARED]
    orders += [
        compare_order(f"Hit rate, {tempo}", {t: ours[t][tempo] for t in COMPARED}, {t: theirs[t][tempo] for t in COMPARED})
        for tempo in tempos
    ]
    return Section(
        "figure10",
        "Figure 10: tempo",
        LOOP,
        tuple(rows),
        (Table(("coach", *tempos, "paper"), tuple(lines)),),
        (
            Panel("hit rate", "tempo", "hit rate", _series(ours), _series(theirs)),
        ),
        tuple(orders),
    )  # fmt: skip


def hit_rate(outcomes: Outcomes) -> float | None:
    """Errors that were rightly corrected, of all; None where there were none."""
    return _share(outcomes, "hits", "injected")


def false_rate(outcomes: Outcomes) -> float | None:
    """Corrections without cause, of all; None where nothing was said."""
    return _share(outcomes, "false", "corrections")


def feedback_s(outcomes: Outcomes) -> float | None:
    """Median time until an error's correction; None where none came."""
    times = list(chain.from_iterable(o["feedback_s"] for o in outcomes))
    return median(times) if times else None


def _coaches() -> dict[str, Job | None]:
    return {**{title: Job(model) for title, model in COMPARED.items()}, SHIPPED: None}


def _rounds(run: Run, measure: str) -> dict[str, dict[str, float | None]]:
    """Mean of `measure` by round, of every coach."""
    curves: dict[str, dict[str, float | None]] = {}
    for title, job in _coaches().items():
        outcomes = run.drilled(job, run.drills())
        found = [list(chain.from_iterable(o[measure][k] for o in outcomes)) for k in range(ROUNDS)]
        curves[title] = {str(k + 1): fmean(values) if values else None for k, values in enumerate(found)}
    return curves


def _over_rounds(
    name: str,
    title: str,
    what: str,
    label: str,
    unit: str,
    ours: Mapping[str, Mapping[str, float | None]],
    theirs: Mapping[str, Mapping[str, float | None]],
) -> Section:
    rounds = [str(k + 1) for k in range(ROUNDS)]
    rows = [
        row(f"simulation_{name}_{slug(t)}_round_{k}_{unit}", value, unit)
        for t, curve in ours.items()
        for k, value in curve.items()
    ]
    lines = [
        (t, *(number(curve[k], 2) for k in rounds), " / ".join(number(theirs[t][k], 2) for k in rounds) if t in theirs else "")
        for t, curve in ours.items()
    ]
    at_end = compare_order("Round 5", {t: c["5"] for t, c in ours.items()}, {t: c["5"] for t, c in theirs.items()})
    over = [compare_order(f"{t} by round", ours[t], {k: theirs[t][k] for k in ("1", "5")}) for t in COMPARED]
    return Section(
        name, title, what, tuple(rows), (Table(("coach", *(f"round {k}" for k in rounds), "paper"), tuple(lines)),),
        (
            Panel(label, "round", label, _series(ours), _series(theirs)),
        ),
        (at_end, *over),
    )  # fmt: skip


def _series(curves: Mapping[str, Mapping[str, float | None]]) -> tuple[Series, ...]:
    return tuple(Series(name, curve) for name, curve in curves.items())


def _sum(outcomes: Outcomes, key: str) -> int:
    return sum(int(outcome[key]) for outcome in outcomes)


def _share(outcomes: Outcomes, part: str, whole: str) -> float | None:
    total = _sum(outcomes, whole)
    return _sum(outcomes, part) / total if total else None


def _mean(outcomes: Outcomes, key: str) -> float | None:
    values = [outcome[key] for outcome in outcomes if outcome[key] is not None]
    return fmean(values) if values else None
