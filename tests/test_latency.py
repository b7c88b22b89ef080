"""How long corrections take, end to end, as the sinks measure it."""

import logging

import numpy as np
import pytest

from device.config import BudgetConfig, HapticConfig, SpeakerConfig
from device.drivers.base import Speaker
from device.drivers.haptic_virtual import VirtualHaptic
from device.drivers.speaker_alsa import PromptQueue
from device.drivers.speaker_none import SilentSpeaker
from device.drivers.speaker_wav import WavSpeaker
from device.messages import NS_PER_S, Advanced, Coached, Degraded, Speech, StageTiming, Vibration
from device.runtime.latency import KEPT, LatencyMeter
from device.runtime.session import HapticSink, Session, VoiceSink
from device.voice import RATE_HZ

MS = 1_000_000


class ScriptedCore:
    """Says at each time what it was told to."""

    def __init__(self, script: dict[int, list[Coached]]) -> None:
        self.script = script

    def push(self, message: object) -> None: ...

    def advance(self, now_ns: int) -> list[Coached]:
        return self.script.pop(now_ns, [])

    def finish(self, now_ns: int) -> list[Coached]:  # noqa: ARG002
        return []


class LateSpeaker(Speaker):
    """Plans to begin at once, and begins 40 ms later."""

    def __init__(self) -> None:
        self.planned_ns = 0
        self.late_ns = 0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def say(self, prompts: tuple[str, ...], t_ns: int) -> int:  # noqa: ARG002
        self.planned_ns = t_ns + 50 * MS
        return self.planned_ns + NS_PER_S

    def begins_ns(self) -> int:
        return self.planned_ns + self.late_ns

    def free_at_ns(self) -> int:
        return 0


def speech(cause_ms: int) -> Speech:
    return Speech(cause_ms * MS, 0, ("knees_out",), "Knees out", cause_ms * MS)


def vibration(cause_ms: int, path: str = "bands", duration_ms: int = 200) -> Vibration:
    return Vibration(cause_ms * MS, 0, 2, 0.5, duration_ms * MS, cause_ms * MS, path)


def meter_of(script: dict[int, list[Coached]], *, until_ms: int = 2000, speaker: Speaker | None = None) -> LatencyMeter:
    """The meter after a session in simulated time; `script`: ms -> what the core says then."""
    meter = LatencyMeter(BudgetConfig())
    speaker = speaker or SilentSpeaker(SpeakerConfig())
    speaker.open()
    haptic = VirtualHaptic(HapticConfig())
    haptic.open()
    core = ScriptedCore({t * MS: said for t, said in script.items()})
    with Session(core, [HapticSink(haptic, meter), VoiceSink(speaker, meter)]) as session:
        for t_ms in range(0, until_ms, 10):
            session.advance(t_ms * MS)
    return meter


def test_both_ways_are_measured_from_the_sample_to_what_was_done():
    figures = meter_of({500: [vibration(440)], 900: [speech(780), vibration(780, "form")]}).figures()
    assert {name: f.p50_ms for name, f in figures.items()} == {"haptic": 60, "form_haptic": 120, "voice": 120}
    assert (figures["haptic"].budget_ms, figures["voice"].budget_ms) == (80, 250)
    assert [f.over for f in figures.values()] == [0, 0, 0]


def test_what_is_over_its_budget_is_counted():
    figures = meter_of({500: [vibration(400)], 700: [vibration(650)]}).figures()
    assert (figures["haptic"].count, figures["haptic"].over, figures["haptic"].max_ms) == (2, 1, 100)


def test_what_no_sample_caused_has_no_latency():
    assert meter_of({500: [Speech(400 * MS, 0, ("well_done",), "Well done")]}).figures() == {}


def test_a_vibration_that_the_bounds_refuse_is_none():
    assert meter_of({500: [vibration(440, duration_ms=0)]}).figures() == {}


def test_a_prompt_that_waits_for_the_one_before_is_measured_when_it_begins():
    figures = meter_of({100: [speech(50)], 200: [speech(150)]}, until_ms=5000).figures()
    assert figures["voice"].count == 2
    assert figures["voice"].max_ms > 300


def test_a_prompt_is_measured_when_it_began_and_not_when_it_was_planned():
    speaker = LateSpeaker()
    meter = LatencyMeter(BudgetConfig())
    sink = VoiceSink(speaker, meter)
    sink.receive(Advanced(100 * MS))
    sink.receive(speech(100))
    speaker.late_ns = 40 * MS
    sink.receive(Advanced(150 * MS))
    assert meter.figures() == {}
    sink.receive(Advanced(190 * MS))
    assert meter.figures()["voice"].p50_ms == 90


def test_in_real_time_the_clock_counts():
    now = [1000 * MS]
    meter = LatencyMeter(BudgetConfig(), clock=lambda: now[0])
    haptic = VirtualHaptic(HapticConfig(), listener=lambda _: now.__setitem__(0, 1070 * MS))
    haptic.open()
    sink = HapticSink(haptic, meter)
    sink.receive(Advanced(1000 * MS))
    sink.receive(vibration(1000))
    assert meter.figures()["haptic"].p50_ms == 70


def test_each_correction_is_timed_like_a_section():
    timings: list[StageTiming] = []
    meter = LatencyMeter(BudgetConfig(), on_timing=timings.append)
    meter.add("voice", 5 * MS, 9 * MS)
    assert timings == [StageTiming(5 * MS, "voice", 4 * MS, 5 * MS)]
    assert timings[0].end_ns == 9 * MS


def test_memory_is_bounded_and_the_counts_go_on():
    meter = LatencyMeter(BudgetConfig())
    for i in range(3 * KEPT):
        meter.add("voice", NS_PER_S, NS_PER_S + (300 if i < KEPT else 100) * MS)
    figure = meter.figures()["voice"]
    assert (figure.count, figure.over, figure.p95_ms, figure.max_ms) == (3 * KEPT, KEPT, 100, 300)


def test_the_figures_go_to_the_summary_and_the_log(caplog):
    meter = LatencyMeter(BudgetConfig())
    meter.add("haptic", NS_PER_S, NS_PER_S + 60 * MS)
    kept = {"count": 1, "p50_ms": 60.0, "p95_ms": 60.0, "max_ms": 60.0, "budget_ms": 80.0, "over": 0}
    assert meter.as_json() == {"haptic": kept}
    with caplog.at_level(logging.INFO):
        meter.report()
    assert caplog.messages == ["Latency haptic: 1 corrections, median 60 ms, p95 60 ms, max 60 ms, 0 over the budget of 80 ms."]


def test_what_is_told_reaches_the_sinks():
    class Ear:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def receive(self, message: object) -> None:
            self.heard.append(message)

        def close(self) -> None: ...

    ear = Ear()
    Session(ScriptedCore({}), [ear]).tell(Degraded(1, 0, 1, "every second frame", "slow"))
    assert ear.heard == [Degraded(1, 0, 1, "every second frame", "slow")]


# --- when a speaker begins ---------------------------------------------------------------------------------------------------


def test_the_wav_speaker_knows_when_a_prompt_begins(tmp_path):
    with WavSpeaker(SpeakerConfig(), tmp_path / "said.wav", start_ns=0) as speaker:
        assert speaker.begins_ns() == 0
        free_ns = speaker.say(("knees_out",), NS_PER_S)
        assert speaker.begins_ns() == pytest.approx(NS_PER_S, abs=NS_PER_S // RATE_HZ + 1)
        speaker.say(("knees_out",), NS_PER_S + MS)
        assert speaker.begins_ns() == pytest.approx(free_ns, abs=NS_PER_S // RATE_HZ + 1)


def test_the_silent_speaker_knows_when_a_prompt_would_begin():
    with SilentSpeaker(SpeakerConfig()) as speaker:
        free_ns = speaker.say(("knees_out",), NS_PER_S)
        assert speaker.begins_ns() == NS_PER_S
        speaker.say(("knees_out",), NS_PER_S)
        assert speaker.begins_ns() == free_ns


def test_the_stream_says_when_a_prompt_really_began():
    queue, block = PromptQueue(), np.zeros(256, np.int16)
    assert queue.begins_ns() == 0
    queue.put(np.ones(1000, np.int16), 10 * MS)
    assert queue.begins_ns() == 10 * MS
    # The stream comes round later than planned.
    queue.fill(block, 25 * MS)
    assert queue.begins_ns() == 25 * MS
    queue.fill(block, 37 * MS)
    assert queue.begins_ns() == 25 * MS


def test_a_driver_that_does_not_know_is_taken_at_its_order():
    class Plain(LateSpeaker):
        def begins_ns(self) -> int:
            return Speaker.begins_ns(self)

    assert meter_of({500: [speech(420)]}, speaker=Plain()).figures()["voice"].p50_ms == 80
