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
from device.runtime.bundle import load_bundle
from device.runtime.model import StepModel
from device.sim.script import SetBlock
from device.sim.trainee import VirtualTrainee
from device.voice import load_prompts
from export.clips import clips
from export.dataset import observed
from export.evaluate_simulation import EXPERIMENTS, main
from export.landmark_noise import LandmarkNoise, fit_landmark_noise
from export.simulation.drill import REPS_PER_ROUND, ROUNDS, Drill, drill_plan, run_drill
from export.simulation.eyes import POSE_HZ, EmulatedEye, WordsHeard
from export.simulation.material import RENDERED, UNSEEN, Amounts
from export.simulation.run import Options, Run
from export.simulation.shipped import stream_clip
from export.train import Recipe

SQUATS = RENDERED + 4
"""A clip of squats: exercises take turns."""
TINY = Amounts(clips=1, sessions=2, unseen_sessions=1, unseen_clips=1)
OPTIONS = Options(seeds=1, drills=1, demos=1, windows=(64,), thresholds=(9.0,), occlusions=(0, 45), processes=1)


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

    def cut_off(what: str, *_: int) -> None:
        said.append(what)
        if what.startswith("train TCN+LSTM"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EXPERIMENTS["table5"](run_of(tmp_path, clip_cache, cut_off))
    assert any(what.startswith("train TCN-Only") for what in said)
    assert not list(tmp_path.rglob("*.part"))

    said.clear()
    section = EXPERIMENTS["table5"](run_of(tmp_path, clip_cache, lambda what, *_: said.append(what)))
    trainings = {what for what in said if what.startswith("train")}
    assert trainings == {"train TCN+LSTM, seed 1", "train TCN+GAT, seed 1"}
    names = {row.name for row in section.rows}
    assert {"simulation_table5_tcn_gat_accuracy", "simulation_table5_shipped_int8_latency_s"} <= names
    assert all(order.pairs == 3 for order in section.orders)

    # All is known now: the other experiments on the same trainings neither train nor make a session.
    said.clear()
    again = run_of(tmp_path, clip_cache, lambda what, *_: said.append(what))
    figure3, table4 = EXPERIMENTS["figure3"](again), EXPERIMENTS["table4"](again)
    assert said == []
    assert len(figure3.panels) == 2
    assert all(row.value is None for row in table4.rows), "one seed has no spread to test"


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


def test_the_shipped_bundle_streams_a_clip_with_any_modality(clip_cache: Path) -> None:
    clip = next(iter(clips([UNSEEN], clip_cache)))
    config, bundle = load_config(None), load_bundle()
    clear = stream_clip(config, bundle, clip, "both", 0.0)
    assert clear["right"] / clear["ticks"] > 0.9
    assert clear["recognised"]
    assert 0.85 < clear["angle_score"] < 1
    hidden = stream_clip(config, bundle, clip, "camera only", 0.6)
    assert hidden["angle_score"] < clear["angle_score"]
    assert json.loads(json.dumps(clear)) == clear


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
