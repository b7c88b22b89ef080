"""The prompts that the coach says: texts and sounds made ahead, one folder per language."""

from __future__ import annotations

import logging
import tomllib
import wave
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.errors import MediaError
from device.messages import NS_PER_S

RATE_HZ = 22_050
"""Samples a second of every prompt: espeak-ng's own rate."""
GAP_NS = 60_000_000
"""Silence between two prompts of one sentence."""
LIST_NAME = "prompts.toml"
MAKE = "python -m device.voice.make"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """One language. `texts`: {name: what it says}. `sounds`: {name: (n,) int16 at RATE_HZ}."""

    texts: Mapping[str, str]
    sounds: Mapping[str, NDArray[np.int16]]

    def sentence(self, names: Iterable[str]) -> NDArray[np.int16]:
        """Prompts one after the other with a short gap, (n,) int16. An unknown name is left out with a warning."""
        parts: list[NDArray[np.int16]] = []
        for name in names:
            sound = self.sounds.get(name)
            if sound is None:
                log.warning("There is no prompt %r; it is not said. Add it to %s and run: %s", name, LIST_NAME, MAKE)
                continue
            if parts:
                parts.append(np.zeros(GAP_NS * RATE_HZ // NS_PER_S, dtype=np.int16))
            parts.append(sound)
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)

    def duration_ns(self, names: Iterable[str]) -> int:
        """How long `sentence(names)` takes to say (ns)."""
        return len(self.sentence(names)) * NS_PER_S // RATE_HZ


def folder(language: str = "en") -> Path:
    """Where the prompts of `language` are kept: a folder beside this file, or any folder whose path is given instead."""
    return Path(str(resources.files(__name__))) / Path(language).expanduser()


def read_texts(where: Path) -> dict[str, str]:
    """{name: text} of the list of prompts in the folder `where`. Raises MediaError when it can't be read."""
    file = where / LIST_NAME
    try:
        texts = tomllib.loads(file.read_text(encoding="utf-8")).get("prompts")
    except OSError as error:
        raise MediaError(f"{file}: can't be read ({error.strerror}). Set speaker.language to a folder with prompts.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MediaError(f"{file}: not valid TOML: {error}") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) and name.isidentifier() for name, text in texts.items()):
        raise MediaError(f'{file}: [prompts] must hold lines like knees_out = "Knees out".')
    return texts


def load_prompts(language: str = "en") -> Prompts:
    """All prompts of `language`, decoded. Raises MediaError when the list or a sound is absent or wrong."""
    where = folder(language)
    texts = read_texts(where)
    return Prompts(texts, {name: read_sound(where / f"{name}.wav") for name in texts})


def read_sound(file: Path) -> NDArray[np.int16]:
    """(n,) int16 of a mono 16-bit WAV at RATE_HZ. Raises MediaError when it is anything else."""
    try:
        with wave.open(str(file), "rb") as sound:
            found = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
            samples = sound.readframes(sound.getnframes())
    except OSError as error:
        raise MediaError(f"{file}: can't be read ({error.strerror}). Make the prompts: {MAKE}") from error
    except (wave.Error, EOFError) as error:
        raise MediaError(f"{file}: is no WAV file ({error}). Make the prompts: {MAKE}") from error
    if found != (1, 2, RATE_HZ) or len(samples) % 2:
        raise MediaError(f"{file}: is not mono, 16 bit, {RATE_HZ} Hz. Make the prompts: {MAKE}")
    return np.frombuffer(samples, dtype="<i2").astype(np.int16)
