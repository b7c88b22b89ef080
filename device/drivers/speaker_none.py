"""No speaker: prompts take their time and nobody hears them."""

from __future__ import annotations

from device.config import SpeakerConfig
from device.drivers.base import Speaker
from device.voice import Prompts, load_prompts


class SilentSpeaker(Speaker):
    """Says nothing, in the time that saying it would take. Raises MediaError when the language has no prompts."""

    def __init__(self, config: SpeakerConfig) -> None:
        self._language = config.language
        self._prompts = Prompts({}, {})
        self._free_at_ns = self._begins_ns = 0

    def open(self) -> None:
        self._prompts = load_prompts(self._language)
        self._free_at_ns = self._begins_ns = 0

    def say(self, prompts: tuple[str, ...], t_ns: int) -> int:
        self._begins_ns = max(t_ns, self._free_at_ns)
        self._free_at_ns = self._begins_ns + self._prompts.duration_ns(prompts)
        return self._free_at_ns

    def begins_ns(self) -> int:
        return self._begins_ns

    def free_at_ns(self) -> int:
        return self._free_at_ns

    def close(self) -> None:
        """Nothing to give back."""
