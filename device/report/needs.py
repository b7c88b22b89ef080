"""What a report needs that an appliance does not."""

from __future__ import annotations

import importlib.util

from device.errors import DriverUnavailable


def require_report(what: str) -> None:
    """`what`: what is to be drawn, as in "The film". Raises DriverUnavailable where matplotlib or Pillow is absent."""
    modules = {"matplotlib": "matplotlib", "PIL": "pillow"}
    absent = [package for module, package in modules.items() if importlib.util.find_spec(module) is None]
    if absent:
        raise DriverUnavailable(f"{what} needs {' and '.join(absent)}. Install it with: pip install 'spotter[report]'")
