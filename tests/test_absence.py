"""What is said of services that go and come back; a replay says the same."""

from pathlib import Path

import pytest
from scripted import CATALOGUE, START_NS, ScriptedModel, poses, rest

from device.config import config_from
from device.messages import NS_PER_S, Coached, Cue, Sensed, ServiceChanged, ServiceState, Speech
from device.runtime.absence import Absences
from device.runtime.core import Core
from device.runtime.live import repeat
from device.runtime.recording import Recorder, read_recording
from device.runtime.session import RecordingSink, Session
from device.skeleton import BANDS
from device.voice import load_prompts

S = NS_PER_S
RUNNING, GONE, FAILED, STARTING = ServiceState.RUNNING, ServiceState.GONE, ServiceState.FAILED, ServiceState.STARTING


def heard(*events: tuple[float, str, ServiceState], until_s: float = 20.0) -> list[tuple[float, str]]:
    """(time in s, what is said) when services change at those times, ten ticks a second."""
    absences, said, waiting = Absences(), [], sorted(events, key=lambda event: event[0])
    for k in range(round(until_s * 10)):
        while waiting and waiting[0][0] <= k / 10:
            at_s, service, state = waiting.pop(0)
            absences.push(ServiceChanged(round(at_s * S), service, state))
        said += [(k / 10, " ".join(prompts)) for prompts in absences.step(k * S // 10)]
    return said


def all_there(at_s: float = 0.0) -> list[tuple[float, str, ServiceState]]:
    return [(at_s, service, RUNNING) for service in ("eye", *BANDS)]


def test_a_camera_that_goes_and_comes_back_is_said() -> None:
    assert heard(*all_there(), (5, "eye", FAILED), (10, "eye", RUNNING)) == [(6.0, "camera gone"), (11.0, "camera back")]


@pytest.mark.parametrize("band", BANDS)
def test_a_band_is_called_by_its_limb(band: str) -> None:
    assert heard(*all_there(), (5, band, GONE)) == [(6.0, f"{band}_band gone")]


def test_a_blip_is_not_said() -> None:
    assert heard(*all_there(), (5, "left_wrist", GONE), (5.9, "left_wrist", RUNNING)) == []


def test_a_service_that_flaps_is_not_said_until_it_has_settled() -> None:
    flaps = [(5 + k / 2, "eye", FAILED if k % 2 == 0 else RUNNING) for k in range(9)]
    assert heard(*all_there(), *flaps) == [(10.0, "camera gone")]


def test_bands_that_go_together_are_one_sentence_though_they_go_one_after_the_other() -> None:
    going = [(5 + 0.1 * k, band, GONE) for k, band in enumerate(BANDS)]
    coming = [(12 + 0.1 * k, band, RUNNING) for k, band in enumerate(BANDS)]
    assert [what for _, what in heard(*all_there(), *going, *coming)] == ["bands gone", "bands back"]


def test_a_band_that_keeps_flapping_does_not_keep_the_others_from_being_said() -> None:
    flaps = [(5 + 0.4 * k, "left_wrist", GONE if k % 2 == 0 else RUNNING) for k in range(40)]
    said = heard(*all_there(), *flaps, (5.1, "eye", FAILED), until_s=8.0)
    assert [what for _, what in said] == ["camera gone"]


def test_two_bands_of_four_are_said_each() -> None:
    said = heard(*all_there(), (5, "left_wrist", GONE), (5, "left_ankle", GONE))
    assert [what for _, what in said] == ["left_wrist_band gone", "left_ankle_band gone"]


def test_everything_gone_is_one_sentence_and_what_comes_back_is_named() -> None:
    going = [(5.0, service, GONE) for service in ("eye", *BANDS)]
    assert [what for _, what in heard(*all_there(), *going, (10, "eye", RUNNING))] == ["nothing_left", "camera back"]


def test_the_last_one_to_go_leaves_nothing() -> None:
    said = heard((0, "eye", RUNNING), (0, "left_wrist", RUNNING), (5, "eye", FAILED), (9, "left_wrist", GONE))
    assert [what for _, what in said] == ["camera gone", "nothing_left"]


def test_with_the_camera_alone_its_end_is_the_end_of_everything() -> None:
    assert heard((0, "eye", RUNNING), (5, "eye", FAILED)) == [(6.0, "nothing_left")]


def test_bands_that_were_never_there_are_not_missed_and_a_camera_is() -> None:
    said = heard((0, "eye", STARTING), (3, "eye", FAILED), (0, "left_wrist", RUNNING), (0, "right_wrist", STARTING))
    assert said == [(4.0, "camera gone")]


def test_starting_again_is_neither_here_nor_gone() -> None:
    said = heard(*all_there(), (5, "eye", FAILED), (5.5, "eye", STARTING), (8, "eye", RUNNING))
    assert said == [(6.0, "camera gone"), (9.0, "camera back")]


def test_services_that_nobody_is_watched_with_are_not_said() -> None:
    assert heard(*all_there(), *[(5, service, GONE) for service in ("voice", "store", "core", "recording", "bands")]) == []


def core() -> Core:
    return Core(config_from({}), ScriptedModel([*rest(30)]), CATALOGUE, START_NS, prompts=load_prompts("en"))


def test_the_core_says_it_aloud_and_a_replay_says_the_same(tmp_path: Path) -> None:
    changes = [
        ServiceChanged(START_NS, "eye", RUNNING),
        ServiceChanged(START_NS + S, "left_wrist", RUNNING),
        ServiceChanged(START_NS + 3 * S, "eye", FAILED, "The camera hangs."),
        ServiceChanged(START_NS + 8 * S, "eye", RUNNING),
    ]
    sensed: list[Sensed] = sorted([*poses(12), *changes], key=lambda message: message.t_ns)
    coached: list[Coached] = []
    with Session(core(), [RecordingSink(Recorder(tmp_path / "recording"))]) as session:
        for message in sensed:
            session.push(message)
            coached += session.advance(message.t_ns)
    said = [message for message in coached if isinstance(message, Cue | Speech)]
    assert [(m.text, m.prompts) for m in said if isinstance(m, Speech)] == [
        ("Camera gone", ("camera", "gone")),
        ("Camera back again", ("camera", "back")),
    ]
    assert [m.kind for m in said if isinstance(m, Cue)] == ["notice", "notice"]

    recording = read_recording(tmp_path / "recording")
    assert [message for message in recording if isinstance(message, ServiceChanged)] == changes

    again: list[Coached] = []

    class Heard:
        def receive(self, message: object) -> None:
            if isinstance(message, Cue | Speech):
                again.append(message)

        def close(self) -> None: ...

    with Session(core(), [Heard()]) as session:
        for _ in repeat(session, recording.events()):
            pass
    assert again == said
