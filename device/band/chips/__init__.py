"""IMU chips behind one base (`base.Chip`), for the bands' firmware and the appliance's `i2c` driver alike."""

from device.band.chips.base import SMBUS_BLOCK, Bus, Chip, WrongChip
from device.band.chips.bmi270 import Bmi270
from device.band.chips.lsm6dsox import Lsm6dsox
from device.band.chips.mpu6050 import Mpu6050

try:  # noqa: SIM105
    from collections.abc import Callable
except ImportError:
    # MicroPython has none, and evaluates no annotations.
    pass

CHIPS: tuple[type[Chip], ...] = (Lsm6dsox, Bmi270, Mpu6050)
"""Every chip that is supported."""


def find(
    open_bus: "Callable[[int], Bus]",
    sleep_ms: "Callable[[int], None]",
    load_blob: "Callable[[str], bytes] | None" = None,
    block: int = SMBUS_BLOCK,
) -> Chip:
    """The first chip that answers on a bus, probed but not started. `open_bus(address)` gives the bus of one address.

    Raises OSError when nothing answers at any address, WrongChip when something else does.
    """
    wrong: WrongChip | None = None
    failure = OSError("There is no chip.")
    for kind in CHIPS:
        for address in kind.ADDRESSES:
            chip = kind(open_bus(address), sleep_ms, load_blob, block)
            try:
                chip.probe()
            except OSError as error:
                failure = error
            except WrongChip as error:
                wrong = error
            else:
                return chip
    raise wrong if wrong is not None else failure
