"""The loudspeaker, through one PortAudio stream that stays open."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.config import SpeakerConfig
from device.drivers.base import Speaker
from device.errors import DriverError, DriverUnavailable
from device.messages import NS_PER_S
from device.voice import RATE_HZ, Prompts, load_prompts

BLOCK = 256
"""Frames asked for at a time: 11.6 ms."""

log = logging.getLogger(__name__)


class PromptQueue:
    """Sounds that wait for their time, mixed into the blocks of a stream one after the other, never over each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, NDArray[np.int16]]] = deque()
        self._position = 0
        self._free_at_ns = 0
        self._begins_ns = 0

    def put(self, sound: NDArray[np.int16], t_ns: int) -> int:
        """Queue (n,) int16 to begin at `t_ns` or when those before are over. Returns when it will be over (ns)."""
        with self._lock:
            start_ns = max(t_ns, self._free_at_ns)
            self._free_at_ns = start_ns + len(sound) * NS_PER_S // RATE_HZ
            if len(sound):
                self._begins_ns = start_ns
                self._waiting.append((start_ns, sound))
            return self._free_at_ns

    def fill(self, block: NDArray[np.int16], t_ns: int) -> None:
        """Write into `block` (n,) what is due in it; `t_ns` is when its first sample is heard."""
        block[:] = 0
        at = 0
        with self._lock:
            while self._waiting and at < len(block):
                start_ns, sound = self._waiting[0]
                if self._position == 0:
                    at = max(at, (start_ns - t_ns) * RATE_HZ // NS_PER_S)
                    if at >= len(block):
                        return
                    if len(self._waiting) == 1:
                        # The newest prompt: now it is known when it really begins.
                        self._begins_ns = t_ns + at * NS_PER_S // RATE_HZ
                count = min(len(block) - at, len(sound) - self._position)
                block[at : at + count] = sound[self._position : self._position + count]
                at += count
                self._position += count
                if self._position == len(sound):
                    self._waiting.popleft()
                    self._position = 0
            # A stream that fell behind says a prompt later than planned.
            if self._waiting and self._position:
                left_ns = sum(len(sound) for _, sound in self._waiting) - self._position
                self._free_at_ns = max(self._free_at_ns, t_ns + (len(block) + left_ns) * NS_PER_S // RATE_HZ)

    def begins_ns(self) -> int:
        """When the newest sound is first heard, planned until then; 0 when nothing was queued."""
        with self._lock:
            return self._begins_ns

    def free_at_ns(self) -> int:
        """When all that was queued will be over; 0 when nothing was."""
        with self._lock:
            return self._free_at_ns


class AlsaSpeaker(Speaker):
    """Says prompts on the sound device `config.device` (name or part of it; empty: the default). No process per prompt.

    Raises DriverUnavailable without sounddevice, PortAudio or a sound device, DriverError when the device went away.
    """

    def __init__(self, config: SpeakerConfig) -> None:
        self._config = config
        self._prompts = Prompts({}, {})
        self._queue = PromptQueue()
        self._stream: Any = None
        self._latency_ns = 0

    def open(self) -> None:
        self.close()
        try:
            import sounddevice
        except (ImportError, OSError) as error:
            raise DriverUnavailable(
                f"The alsa speaker needs sounddevice and PortAudio ({error}): pip install sounddevice and "
                "apt install libportaudio2, or set speaker.type to none."
            ) from error
        self._prompts = load_prompts(self._config.language)
        self._queue = PromptQueue()
        try:
            self._stream = sounddevice.OutputStream(
                samplerate=RATE_HZ,
                blocksize=BLOCK,
                channels=1,
                dtype="int16",
                latency="low",
                device=self._config.device or None,
                callback=self._callback,
            )
            self._latency_ns = int(self._stream.latency * NS_PER_S)
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            self.close()
            raise DriverUnavailable(
                f"The sound device {self._config.device or '(default)'} can't be opened: {error}. List them with "
                "`python -m sounddevice`, set speaker.device to one of them, or set speaker.type to none."
            ) from error

    def say(self, prompts: tuple[str, ...], t_ns: int) -> int:
        if self._stream is None:
            raise DriverError("The alsa speaker is not open; open it before saying anything.")
        if not self._stream.active:
            raise DriverError("The sound device stopped. Check that it is plugged in; the speaker has to be opened again.")
        sound = np.round(self._prompts.sentence(prompts) * self._config.volume).astype(np.int16)
        return self._queue.put(sound, max(t_ns, time.monotonic_ns() + self._latency_ns))

    def begins_ns(self) -> int:
        return self._queue.begins_ns()

    def free_at_ns(self) -> int:
        return self._queue.free_at_ns()

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def _callback(self, block: NDArray[np.int16], _frames: int, _times: Any, _status: Any) -> None:
        self._queue.fill(block[:, 0], time.monotonic_ns() + self._latency_ns)
