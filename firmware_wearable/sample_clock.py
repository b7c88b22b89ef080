"""When each sample was taken: a line through the interrupts, each of which says when one sample was there."""

import time

_PHASE_SHIFT = 3
_SPACING_SHIFT = 7
_LATE_US = 500
"""An interrupt is served late when the interpreter is busy, so one that is later than this counts as this late."""
_OUTLIERS = 3
"""So many interrupts in a row that are off by more than half a spacing are believed: the chip has paused."""


class SampleClock:
    """A phase-locked loop over (index, counter) in integers: floats of the boards have 24 bits. Spacing in 1/256 us inside."""

    def __init__(self, rate_hz):
        self.restart(rate_hz)

    def restart(self, rate_hz):
        """Nothing is known but the nominal rate."""
        self._spacing = int(256_000_000 / rate_hz)
        self._index = 0
        self._time_us = time.ticks_us()
        self._seen = 0
        self._outliers = 0

    def is_set(self):
        """Whether `time_of` means anything."""
        return self._seen > 1

    def observe(self, index, time_us):
        """Sample `index` was taken when the counter (us, wraps at 2^30) read `time_us`."""
        n = index - self._index
        if self._seen and n <= 0:
            return
        error = time.ticks_diff(time_us, self.time_of(index))
        if not self._seen:
            self._set(index, time_us)
        elif abs(error) > self._spacing >> 9:
            self._doubt(index, time_us)
        elif self._seen == 1:
            self._spacing += (error << 8) // n
            self._set(index, time_us)
        else:
            error = min(error, _LATE_US)
            self._set(index, time.ticks_add(self.time_of(index), error >> min(self._seen - 1, _PHASE_SHIFT)))
            self._spacing += (error << 8) // n >> min(self._seen, _SPACING_SHIFT)

    def time_of(self, index):
        """The counter when sample `index` was taken, wrapped."""
        return time.ticks_add(self._time_us, (index - self._index) * self._spacing >> 8)

    def index_at(self, time_us):
        """The newest sample at `time_us`, from the line."""
        return self._index + (time.ticks_diff(time_us, self._time_us) << 8) // self._spacing

    def spacing_us(self):
        return (self._spacing + 128) >> 8

    def _set(self, index, time_us):
        self._index = index
        self._time_us = time_us
        self._seen += 1
        self._outliers = 0

    def _doubt(self, index, time_us):
        """An interrupt between counting and reading the FIFO is taken for the next sample's; the line knows better."""
        self._outliers += 1
        if self._outliers >= _OUTLIERS:
            self._set(index, time_us)
