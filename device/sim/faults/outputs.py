"""Speaker and motors whose devices go away and come back. Modelled: the devices, at the point where their drivers' libraries
fail."""

from __future__ import annotations

from device.config import HapticConfig, SpeakerConfig
from device.drivers.haptic_bounded import BoundedHaptic
from device.drivers.speaker_none import SilentSpeaker
from device.errors import DriverError, DriverUnavailable
from device.messages import Vibration


class SoundDevice:
    """What all speakers that are opened on it share. `there`: whether it is plugged in; `said`: prompts so far."""

    def __init__(self) -> None:
        self.there = True
        self.said = 0


class PluggedSpeaker(SilentSpeaker):
    """Takes the time that saying takes, while the sound device is there; fails as the `alsa` driver does when it is not."""

    def __init__(self, config: SpeakerConfig, device: SoundDevice) -> None:
        super().__init__(config)
        self._device = device

    def open(self) -> None:
        if not self._device.there:
            raise DriverUnavailable("The sound device can't be opened: no such device. Plug it in.")
        super().open()

    def say(self, prompts: tuple[str, ...], t_ns: int) -> int:
        if not self._device.there:
            raise DriverError("The sound device stopped. Check that it is plugged in; the speaker has to be opened again.")
        self._device.said += 1
        return super().say(prompts, t_ns)


class Motors:
    """The pins that all haptic drivers opened on them share. `broken`: every write fails; `driven`: vibrations so far."""

    def __init__(self) -> None:
        self.broken = False
        self.driven = 0


class WiredHaptic(BoundedHaptic):
    """Drives the motors while their pins can be written; fails as the `pwm` driver does when they can't."""

    def __init__(self, config: HapticConfig, motors: Motors) -> None:
        super().__init__(config)
        self._motors = motors

    def open(self) -> None:
        if self._motors.broken:
            raise DriverUnavailable("The motors' pins can't be used.")
        super().open()

    def off(self) -> None:
        """The motors end each pulse by themselves."""

    def _drive(self, vibration: Vibration) -> None:  # noqa: ARG002
        if self._motors.broken:
            raise DriverError("The guard process of the motors is gone; the motors are off. Open the driver again.")
        self._motors.driven += 1
