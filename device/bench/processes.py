"""What processes take, from /proc: their own and the machine's processor time, memory, children."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def busy_s() -> float:
    """Processor time that all processes together have had since the machine started, s."""
    user, nice, system = (int(ticks) for ticks in Path("/proc/stat").read_text().split(maxsplit=4)[1:4])
    return (user + nice + system) * _TICK_S


def cpu_s(pid: int) -> float:
    """Processor time of all threads of a process, without its children, s. Raises FileNotFoundError where it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def resident_mb(pid: int | None = None) -> float:
    """Memory of a process (None: this one) that is in RAM, MB. Raises FileNotFoundError where it is gone."""
    status = Path(f"/proc/{'self' if pid is None else pid}/status").read_text().splitlines()
    for line in status:
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise FileNotFoundError(f"Process {pid} has ended.")


def child(pid: int, module: str) -> int | None:
    """The child of a process that runs `module` of Python; None where there is none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(_stat(int(entry.name))[1]) == pid and module.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    return int(entry.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
    return None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the name before it, in brackets, may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
