"""A whole appliance in simulated time: everything of the product but the devices, faster than the clock.

Real: the loop, supervision, core, model, voice and vibration sinks, and the session store on a disk. Modelled: time, the eye and
the bands (`feed`, `links`, `eye`), the sound device and the motors (`outputs`); nothing is rendered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import tee
from pathlib import Path

import numpy as np

from device.config import Config, with_settings
from device.drivers.haptic_bounded import BoundedHaptic
from device.drivers.speaker_none import SilentSpeaker
from device.messages import NS_PER_S, Cue, Repetition, ServiceChanged, ServiceState, SetEnded, Speech
from device.runtime.background import Inline
from device.runtime.bundle import Bundle
from device.runtime.kept import KeptSink
from device.runtime.live import STORE_PATIENCE_S, build_core, config_bundle
from device.runtime.live_runner import LiveRunner, Watch
from device.runtime.services import services, watched
from device.runtime.session import KEPT_IN_STORE, HapticSink, Heard, Session, Sink, StoreSink, VoiceSink
from device.runtime.store import SessionStore
from device.runtime.supervisor import Supervisor
from device.sim.faults.clock import SimulatedClock
from device.sim.faults.crashing_disk import DiskRecorder
from device.sim.faults.eye import FeedEye
from device.sim.faults.feed import Crystal, Piece, placed
from device.sim.faults.links import FeedBands
from device.sim.faults.outputs import Motors, PluggedSpeaker, SoundDevice, WiredHaptic
from device.skeleton import BANDS, N_BANDS

START_NS = 1000 * NS_PER_S
CLOCK_ERROR_NS = 10_000_000
"""A band whose clock is known worse than this is not what it was before a fault: a third of a tick."""
STORE = "sessions.sqlite"


class Witness:
    """A sink that notes what was counted and said, and how services changed, until somebody takes it."""

    name = "witness"

    def __init__(self) -> None:
        self.repetitions: deque[Repetition] = deque()
        self.sets: deque[SetEnded] = deque()
        self.notices: deque[Cue] = deque()
        self.corrections = self.sentences = 0
        self.changes: deque[ServiceChanged] = deque()

    def receive(self, message: Heard) -> None:
        match message:
            case Repetition():
                self.repetitions.append(message)
            case SetEnded():
                self.sets.append(message)
            case ServiceChanged():
                self.changes.append(message)
            case Speech():
                self.sentences += 1
            case Cue(kind="notice"):
                self.notices.append(message)
            case Cue():
                self.corrections += message.kind == "correction"
            case _:
                pass

    def close(self) -> None:
        """What was noted stays."""


class Appliance:
    """Watches the people of `pieces` one after the other, with bands of the crystals `worn`; the store is in `folder`.

    What a fault acts on is public: `clock`, `eye`, `bands`, `sound`, `motors`, `disk`, `store_path`. `booted_s`: how long each
    band had been on when the appliance was started. As a context manager it ends the session and closes everything.
    """

    def __init__(
        self,
        pieces: Iterable[Piece],
        worn: Sequence[Crystal],
        seed: int,
        folder: Path,
        *,
        config: Config | None = None,
        bundle: Bundle | None = None,
        booted_s: Sequence[float] | None = None,
    ) -> None:
        settings = with_settings(
            config or Config(), imu={"type": "virtual"}, haptic={"type": "virtual"}, speaker={"type": "none"}
        )
        self.config = settings
        self.bundle = bundle or config_bundle(settings)
        self.clock = SimulatedClock(START_NS)
        seen, felt = tee(placed(pieces, START_NS))
        rng = np.random.default_rng((seed, 15))
        on_s = rng.uniform(5, 900, N_BANDS) if booted_s is None else np.array(booted_s)
        self.eye = FeedEye(seen, self.clock)
        self.bands = FeedBands(felt, worn, seed, [START_NS - round(float(s) * NS_PER_S) for s in on_s])
        self.sound, self.motors = SoundDevice(), Motors()
        self.store_path = folder / STORE
        self.disk = DiskRecorder(folder, kept=False)
        self.witness = Witness()
        self.supervisor = Supervisor(services(settings, [*watched(settings), "vibration", "voice", "store"]))
        self.core = build_core(settings, START_NS, bundle=self.bundle)
        self._watch = Watch(self.eye, self.bands, self.supervisor, Inline())
        self.kept = self._sinks()
        self.session = Session(self.core, [self.witness, *self.kept])
        self._runner = LiveRunner(
            self.session, self._watch, settings.signals.tick_hz, others=self.kept, clock=self.clock, sleep=self.clock.sleep
        )
        self._stack = ExitStack()

    def run(self, until_ns: int | None = None) -> Iterator[int]:
        """Run until `until_ns`; yields the time after each step."""
        yield from self._runner.run(until_ns)

    def whole(self) -> bool:
        """Whether everything is as it should be now: services run, the newest tick has the skeleton and all bands, at known
        times."""
        tick = self.core.last_tick
        if tick is None or not tick.pose_present or not tick.imu_present.all():
            return False
        errors = [link.clock_error_ns(self.core.timebase) for link in self.bands.links]
        return not self.failing(("eye", *BANDS, "vibration", "voice", "store")) and all(
            error is not None and abs(error) <= CLOCK_ERROR_NS for error in errors
        )

    def failing(self, names: Iterable[str]) -> bool:
        """Whether one of the services `names` does not run, or its data comes too rarely, too often or too late."""
        now_ns = self.clock()
        for name in names:
            if self.supervisor.state(name) is not ServiceState.RUNNING:
                return True
            if name in ("core", "eye", *BANDS) and not self.supervisor.health(name, now_ns).ok:
                return True
        return False

    def __enter__(self) -> Appliance:
        self._stack.enter_context(self.disk.recording())
        self._stack.callback(self._watch.close)
        self._stack.enter_context(self.session)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def _sinks(self) -> list[KeptSink]:
        haptic: BoundedHaptic = WiredHaptic(self.config.haptic, self.motors)
        speaker: SilentSpeaker = PluggedSpeaker(self.config.speaker, self.sound)
        store = SessionStore(self.store_path, patience_s=STORE_PATIENCE_S)
        began = datetime.now(UTC)

        def vibration() -> Sink:
            haptic.open()
            return HapticSink(haptic)

        def voice() -> Sink:
            speaker.open()
            return VoiceSink(speaker)

        def sessions() -> Sink:
            if store.begun:
                store.resume()
            else:
                store.begin("virtual trainee", "simulated appliance", self.bundle.version, START_NS, began)
            return StoreSink(store)

        background = Inline()
        return [
            KeptSink("vibration", vibration, self.supervisor, background),
            KeptSink("voice", voice, self.supervisor, background),
            KeptSink("store", sessions, self.supervisor, background, keeps=KEPT_IN_STORE),
        ]
