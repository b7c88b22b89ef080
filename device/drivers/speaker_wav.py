"""A WAV file of what was said, each prompt at the sample at which it was said."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import numpy as np

from device.config import SpeakerConfig
from device.drivers.base import Speaker
from device.errors import DriverError, StoreError
from device.messages import NS_PER_S
from device.voice import RATE_HZ, Prompts, load_prompts

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_LARGEST_BYTES = 0xFFFFFFFF - _HEADER.size
_SILENCE_BYTES = 1 << 20


class WavSpeaker(Speaker):
    """Writes mono 16-bit PCM at `voice.RATE_HZ`; sample 0 is `start_ns` (the moment of `open` where it is None).

    Samples are appended first and the sizes in the header are put right after, so the file is a valid WAV at every moment;
    a crash or a full disk costs the last prompt at most. Raises StoreError when `path` (`config.device`) can't be written.
    """

    def __init__(self, config: SpeakerConfig, path: Path | None = None, start_ns: int | None = None) -> None:
        self.path = path or Path(config.device or "said.wav").expanduser()
        self._config = config
        self._given_start_ns = start_ns
        self._start_ns = 0
        self._prompts = Prompts({}, {})
        self._samples = 0
        self._free_at_ns = 0
        self._file = -1

    def open(self) -> None:
        """Opened again after it was closed, it goes on behind what was said."""
        self.close()
        self._prompts = load_prompts(self._config.language)
        again = self._samples > 0 and self.path.exists()
        if not again:
            self._start_ns = time.monotonic_ns() if self._given_start_ns is None else self._given_start_ns
            self._samples = self._free_at_ns = 0
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if again else os.O_TRUNC)
            self._file = os.open(self.path, flags, 0o644)
            self._write(_header(self._samples * 2), 0)
        except OSError as error:
            self.close()
            raise StoreError(
                f"{self.path}: can't be written ({error.strerror}). Set speaker.device to a file that can."
            ) from error

    def say(self, prompts: tuple[str, ...], t_ns: int) -> int:
        if self._file < 0:
            raise DriverError(f"{self.path}: the wav speaker is not open; open it before saying anything.")
        sound = np.round(self._prompts.sentence(prompts) * self._config.volume).astype("<i2")
        first = max(self._samples, self._sample(t_ns))
        if (first + len(sound)) * 2 > _LARGEST_BYTES:
            raise StoreError(f"{self.path}: a WAV file holds 27 hours; start another one.")
        try:
            self._append_silence(first - self._samples)
            self._append(sound.tobytes())
        except OSError as error:
            raise StoreError(f"{self.path}: can't be written any more ({error.strerror}). Make room on the disk.") from error
        self._free_at_ns = self._time_ns(self._samples)
        return self._free_at_ns

    def free_at_ns(self) -> int:
        return self._free_at_ns

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _append_silence(self, samples: int) -> None:
        for at in range(0, samples * 2, _SILENCE_BYTES):
            self._append(bytes(min(_SILENCE_BYTES, samples * 2 - at)))

    def _append(self, data: bytes) -> None:
        self._write(data, _HEADER.size + self._samples * 2)
        self._write(_header(self._samples * 2 + len(data)), 0)
        self._samples += len(data) // 2

    def _write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written

    def _sample(self, t_ns: int) -> int:
        return max(0, round((t_ns - self._start_ns) * RATE_HZ / NS_PER_S))

    def _time_ns(self, sample: int) -> int:
        # Rounded up, so that a prompt asked for at this time falls on the next sample at the earliest.
        return self._start_ns - (-sample * NS_PER_S // RATE_HZ)


def _header(data_bytes: int) -> bytes:
    return _HEADER.pack(b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16, 1, 1, RATE_HZ, RATE_HZ * 2, 2, 16, b"data", data_bytes)
