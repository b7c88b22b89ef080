import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from zoo_material import fill_clip_cache

from device.config import load_config, with_settings
from device.exercises import load_exercises
from device.messages import NS_PER_S, Cue, Pose
from device.rows import report
from device.runtime.bundle import load_bundle
from device.runtime.model import StepModel
from device.sim.script import SetBlock
from device.sim.trainee import VirtualTrainee
from device.voice import load_prompts
from export.clips import clips
from export.dataset import observed
from export.evaluate_simulation import EXPERIMENTS, main
from export.landmark_noise import LandmarkNoise, fit_landmark_noise
from export.seeds import RENDERED, UNSEEN
from export.simulation.drill import REPS_PER_ROUND, ROUNDS, Drill, drill_plan, run_drill
from export.simulation.eyes import POSE_HZ, EmulatedEye, WordsHeard
from export.simulation.material import Amounts
from export.simulation.plots import draw_section
from export.simulation.report import markdown
from export.simulation.run import Options, Run
from export.simulation.shipped import pooled, stream_clip
from export.train import Recipe
from export.zoo.catalogue import MODELS
from export.zoo.training import Job

SQUATS = RENDERED + 4
"""A clip of squats: exercises take turns."""
TINY = Amounts(clips=1, sessions=1, unseen_sessions=1, unseen_clips=1)
OPTIONS = Options(seeds=2, drills=1, demos=1, windows=(32, 64), thresholds=(7.0, 9.0), occlusions=(0, 45), processes=1)


@pytest.fixture(scope="module")
def clip_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("clips")
    fill_clip_cache(cache, [RENDERED, SQUATS, UNSEEN])
    return cache


@pytest.fixture(scope="module")
def noise(clip_cache: Path) -> LandmarkNoise:
    return fit_landmark_noise([observed(clip) for clip in clips([SQUATS], clip_cache)], seed=0, epochs=60)


def run_of(cache: Path, clip_cache: Path, report: Callable[[str, int, int], None]) -> Run:
    recipe = replace(Recipe(), steps=1, batch=1, ticks=40, threads=1)
    return Run(OPTIONS, recipe, TINY, load_config(None), cache, clip_cache, report)


def test_what_was_cut_off_goes_on_where_it_was(tmp_path: Path, clip_cache: Path) -> None:
    said: list[str] = []
    jobs = [Job("imu_cnn_lstm"), Job("pose_embedding")]

    def cut_off(what: str, *_: int) -> None:
        said.append(what)
        if what == "train Pose embedding, seed 1":
            raise KeyboardInterrupt

    def judge_all(run: Run) -> list[dict[str, float]]:
        return [run.judged(job) for job in jobs]

    with pytest.raises(KeyboardInterrupt):
        judge_all(run_of(tmp_path, clip_cache, cut_off))
    assert "judge IMU CNN-LSTM, seed 1" in said
    assert not list(tmp_path.rglob("*.part"))

    said.clear()
    found = judge_all(run_of(tmp_path, clip_cache, lambda what, *_: said.append(what)))
    assert {what for what in said if what.startswith("train")} == {"train Pose embedding, seed 1"}
    assert all(one["latency_s"] > one["delay_s"] for one in found)

    said.clear()
    assert judge_all(run_of(tmp_path, clip_cache, lambda what, *_: said.append(what))) == found
    assert said == [], "all is known: nothing is trained, made or judged"


@pytest.fixture
def known(tmp_path: Path, clip_cache: Path) -> Run:
    """A run in which all was measured: each network, level, threshold and tempo somewhat better than the one before."""
    run = run_of(tmp_path, clip_cache, lambda what, *_: pytest.fail(f"{what} was not known"))
    networks = ["tcn_only", "tcn_lstm", "tcn_gat", "shown_angles"]
    jobs = [Job(name, seed) for name in MODELS for seed in (1, 2)]
    jobs += [Job("tcn_gat", sensors=sensors) for sensors in ("none", "wrists", "ankles", "blind")]
    jobs += [Job("dense_imu", sensors="dense"), *(Job("tcn_gat", window=window) for window in OPTIONS.windows)]
    for who in [*(job.key for job in jobs), "shipped"]:
        for level in OPTIONS.occlusions:
            place = next((i for i, name in enumerate(networks) if who.startswith(name)), 0)
            better = 0.01 * place + 0.001 * who.endswith("s2")
            judged = {
                "accuracy": 0.9 + better - level / 1000,
                "angle_score": 0.9 + better,
                "delay_s": 0.5 - better,
                "step_s": 0.001,
            }
            run.measurements.keep(f"judged-{who}-occluded{level}", judged)
    for part in ("both", "camera_only", "bands_only"):
        for level in OPTIONS.occlusions:
            figures = {"accuracy": 0.99, "clip_accuracy": 1.0, "angle_score": 0.95}
            run.measurements.keep(f"streamed-{part}-occluded{level}", figures)
    outcome = {
        "accuracy": 0.99, "angle_score": 0.95, "injected": 5, "hits": 4, "corrections": 5, "false": 1, "feedback_s": [2.0, 3.0],
        "error_deg": [[15.0], [10.0], [5.0], [4.0], [3.0]], "decided_s": [[0.4], [], [0.4], [0.3], [0.3]],
    }  # fmt: skip
    drills = [*run.drills(feedback="voice"), *run.demos(), *(d for t in ("slow", "normal", "fast") for d in run.drills(tempo=t))]
    drills += [drill for t in OPTIONS.thresholds for drill in run.drills(threshold_deg=t)]
    for name in (*(Job(network).key for network in networks), "shipped"):
        for drill in drills:
            run.measurements.keep(f"drill-{name}-{drill.key}", outcome)
    return run


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_its_rows_beside_the_papers(name: str, known: Run, tmp_path: Path) -> None:
    section = EXPERIMENTS[name](known)
    assert section.rows
    assert all(row.name.startswith("simulation_") for row in section.rows)
    assert len({row.name for row in section.rows}) == len(section.rows)
    for table in section.tables:
        assert all(len(line) == len(table.heading) for line in table.lines)
    text = markdown(report(list(section.rows)), [section], [])
    assert section.title in text
    assert "nan" not in text
    if section.panels:
        draw_section(section, tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 5000


def test_the_main_figures_have_the_limits_that_they_are_judged_by(known: Run) -> None:
    limits = {row.name: (row.limit, row.ok) for row in EXPERIMENTS["main"](known).rows if row.limit is not None}
    assert limits == {
        "simulation_accuracy": (">= 0.98", True),
        "simulation_angle_score": (">= 0.93", True),
        "simulation_occluded_45_accuracy": (">= 0.95", True),
        "simulation_hit_rate": (">= 0.95", False),
        "simulation_false_rate": ("<= 0.05", False),
    }


def test_structures_in_the_papers_order_are_no_disagreement_and_equal_rounds_are(known: Run) -> None:
    assert EXPERIMENTS["figure3"](known).disagreements == ()
    assert any("they are equal" in sentence for sentence in EXPERIMENTS["figure10"](known).disagreements)


def test_half_a_clip_is_added_where_only_whole_clips_are_answered(known: Run) -> None:
    waits, streams = known.judged(Job("segmented_clips")), known.judged(Job("keypoints_2d"))
    assert waits["latency_s"] - streams["latency_s"] == pytest.approx(32 / 30)


def test_a_folder_that_cannot_be_written_is_found_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "reports").write_text("a file")
    assert main(["--out", str(tmp_path / "reports"), "--cache", str(tmp_path / "cache")]) == 1
    assert "can't be written" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("wrong", [["--steps", "0"], ["--only", "table9"], ["--windows", "33"], ["--sessions", "many"]])
def test_a_wrong_option_is_said(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong)
    assert wrong[0] in capsys.readouterr().err


def test_the_shipped_bundle_streams_a_clip_of_which_much_is_hidden(clip_cache: Path) -> None:
    clip = next(iter(clips([UNSEEN], clip_cache)))
    found = stream_clip(load_config(None), load_bundle(), clip, "both", 0.45)
    assert found["right"] / found["ticks"] > 0.5
    assert found["recognised"]
    assert 0.7 < found["angle_score"] < 1
    assert pooled([found, found])["accuracy"] == found["right"] / found["ticks"]
    assert json.loads(json.dumps(found)) == found


def test_a_drill_has_one_error_from_the_first_repetition_of_every_set_on() -> None:
    exercises = load_exercises()
    plan = drill_plan(7, exercises, "fast")
    sets = [block for block in plan.blocks if isinstance(block, SetBlock)]
    assert sorted(block.exercise for block in sets) == sorted(exercises)
    assert all(block.repetitions == ROUNDS * REPS_PER_ROUND and block.tempo == "fast" for block in sets)
    assert all(len(b.habits) == 1 and b.habits[0].onset == 0 for b in sets if exercises[b.exercise].habits)
    assert drill_plan(7, exercises, "fast") == plan


def test_a_trainee_in_the_loop_gets_better(noise: LandmarkNoise) -> None:
    config = with_settings(load_config(None), exercises={"enabled": ["squat"]})
    found = run_drill(config, Drill(3, "fast"), StepModel(load_bundle()), noise)
    assert found["injected"] == 1
    assert found["hits"] <= found["injected"]
    assert found["false"] <= found["corrections"]
    assert found["accuracy"] > 0.9
    assert len(found["error_deg"]) == len(found["decided_s"]) == ROUNDS
    assert all(0 < second < 2 for one in found["decided_s"] for second in one)
    if found["hits"]:
        assert found["error_deg"][-1][0] < found["error_deg"][0][0]
        assert found["feedback_s"][0] > 0
    assert json.loads(json.dumps(found)) == found


def test_an_emulated_eye_sees_what_a_heard_correction_changes(noise: LandmarkNoise) -> None:
    exercises = load_exercises(None, ["squat"])
    plan = drill_plan(3, exercises, "fast")

    def seen(cue: Cue | None) -> list[Pose]:
        eye = EmulatedEye(VirtualTrainee(3, plan, exercises=exercises), 3, noise)
        poses = []
        for _ in range(round(heard_ns / NS_PER_S * POSE_HZ) + 60):
            poses.append(eye.next())
            if cue is not None and poses[-1].t_ns > cue.t_ns:
                eye.hear(cue)
                cue = None
        return poses

    trainee = VirtualTrainee(3, plan, exercises=exercises)
    habit = trainee.sets[0].habits[0][0]
    heard_ns = trainee.sets[0].repetitions[2].start_ns
    cue = Cue(heard_ns, 0, "correction", "squat", f"left_{habit.joint}", habit.sign, "", (), 0.0, (), 0.0)
    deaf, heard = seen(None), seen(cue)
    same = [bool((a.world == b.world).all()) for a, b in zip(deaf, heard, strict=True)]
    first = same.index(False)
    assert deaf[first].t_ns > heard_ns
    assert all(same[:first])


@pytest.mark.parametrize("by_words", [False, True])
def test_by_voice_alone_a_correction_comes_when_its_words_are_over(by_words: bool) -> None:
    prompts = load_prompts()
    name = next(iter(prompts.texts))
    ears = WordsHeard(prompts, by_words=by_words)
    ears.receive(Cue(0, 0, "correction", "squat", "left_knee", 1, "", (name,), 0.0, (), 0.0))
    at_once = ears.take(NS_PER_S)
    assert len(at_once) == (0 if by_words else 1)
    later = ears.take(NS_PER_S + prompts.duration_ns((name,)))
    assert len(at_once) + len(later) == 1
    assert [cue.t_ns for cue in ears.delivered] == [cue.t_ns for cue in (*at_once, *later)]
    assert ears.take(10 * NS_PER_S) == []
