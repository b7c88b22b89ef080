"""What the virtual radio needs that an appliance does not."""

from __future__ import annotations

import importlib.util

from device.errors import DriverUnavailable


def require_bumble() -> None:
    """Raises DriverUnavailable where bleak or bumble is absent."""
    absent = [name for name in ("bleak", "bumble") if importlib.util.find_spec(name) is None]
    if absent:
        raise DriverUnavailable(f"The virtual radio needs {' and '.join(absent)}. Install it with: pip install 'spotter[radio]'")
