"""Makes the WAVs of the prompts with espeak-ng: python -m device.voice.make [--language en] [NAME ...]."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.errors import DriverUnavailable, MediaError, SpotterError
from device.voice import LIST_NAME, RATE_HZ, folder, read_sound, read_texts

PEAK = 10 ** (-3 / 20)
SILENCE = 10 ** (-40 / 20)
LEAD_S, TAIL_S = 0.010, 0.040
FADE_S = 0.005


@dataclass(frozen=True, slots=True)
class Voice:
    """Settings of espeak-ng: voice and variant, speed and pitch (0..99)."""

    espeak: str
    words_per_minute: int
    pitch: int


def make_prompts(where: Path, names: Sequence[str] = ()) -> int:
    """Make the WAVs of the list in `where`: those of `names`, or all of them; then those that it doesn't name are removed.

    Returns how many were made. Raises DriverUnavailable without espeak-ng, MediaError when the list is wrong or lacks a name.
    """
    voice = read_voice(where)
    texts = read_texts(where)
    absent = sorted(set(names) - set(texts))
    if absent:
        raise MediaError(f"{where / LIST_NAME}: has no prompt {', '.join(absent)}. Add its text there first.")
    for name in names or texts:
        write_sound(where / f"{name}.wav", level(speak(texts[name], voice)))
    for file in where.glob("*.wav"):
        if not names and file.stem not in texts:
            file.unlink()
    return len(names or texts)


def read_voice(where: Path) -> Voice:
    """The [voice] of the list in `where`; raises MediaError when it is absent or wrong."""
    file = where / LIST_NAME
    try:
        return Voice(**tomllib.loads(file.read_text(encoding="utf-8"))["voice"])
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise MediaError(f"{file}: needs a [voice] with espeak, words_per_minute and pitch ({error!r}).") from error


def speak(text: str, voice: Voice) -> NDArray[np.int16]:
    """`text` as espeak-ng says it, (n,) int16 at RATE_HZ."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "prompt.wav"
        options = ["-v", voice.espeak, "-s", str(voice.words_per_minute), "-p", str(voice.pitch), "-w", str(file)]
        try:
            subprocess.run(["espeak-ng", *options, "--", text], check=True, capture_output=True, timeout=30)
        except FileNotFoundError as error:
            raise DriverUnavailable("espeak-ng makes the prompts and is not installed: apt install espeak-ng") from error
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise MediaError(f"espeak-ng failed on {text!r}: {error}") from error
        return read_sound(file)


def level(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    """`sound` trimmed to what is heard, faded at both ends and with its peak at -3 dBFS."""
    samples = sound.astype(np.float64)
    samples -= samples.mean()
    peak = np.abs(samples).max(initial=0.0)
    if peak == 0:
        raise MediaError("espeak-ng made silence; check that the text holds words.")
    heard = np.flatnonzero(np.abs(samples) > SILENCE * peak)
    start = max(0, heard[0] - int(LEAD_S * RATE_HZ))
    samples = samples[start : heard[-1] + int(TAIL_S * RATE_HZ)] * (PEAK * 32767 / peak)
    ramp = np.linspace(0, 1, int(FADE_S * RATE_HZ))
    samples[: len(ramp)] *= ramp
    samples[-len(ramp) :] *= ramp[::-1]
    levelled: NDArray[np.int16] = np.round(samples).astype(np.int16)
    return levelled


def write_sound(file: Path, sound: NDArray[np.int16]) -> None:
    """Write (n,) int16 as a mono WAV at RATE_HZ."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(sound.astype("<i2").tobytes())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m device.voice.make", description="Make the WAVs of the prompts.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; others keep their WAV, as one recorded by hand")
    parser.add_argument("--language", default="en", help="folder under device/voice (default: en)")
    options = parser.parse_args(arguments)
    try:
        made = make_prompts(folder(options.language), options.names)
    except SpotterError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{made} prompts made in {folder(options.language)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
