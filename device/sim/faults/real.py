"""Faults that are made on real parts rather than on the simulated appliance: chips, motors, the disk, the bundle, memory."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from device.config import HapticConfig, ImuConfig
from device.drivers.haptic_pwm import PwmHaptic
from device.drivers.imu_i2c import I2cImu
from device.errors import SpotterError
from device.messages import NS_PER_S, ServiceState, Vibration
from device.runtime.background import Threads
from device.runtime.bundle import STEP, last_good_bundle, load_bundle, shipped_bundle
from device.runtime.kept import KeptSink
from device.runtime.services import SERVICES
from device.runtime.session import HapticSink, Sink
from device.runtime.supervisor import Do, Supervisor
from device.sim.faults.outcome import Outcome
from device.sim.faults.power_cut import cut, record, workload
from device.sim_chips.lsm6dsox import Lsm6dsoxModel
from device.sim_chips.model import resting
from device.sim_chips.smbus import SimulatedSmbus

MOST_S = 15.0
POLLED_S = 0.02
SILENT_S = 1.0
"""How long a chip does not answer."""


def i2c_errno_121(seed: int) -> Outcome:
    """A chip that answers no transfer for a second: errno 121, as a Pi says when power or a wire is bad. Real: the driver, its
    threads and its clock. Modelled: the bus and the chip, register by register."""
    model = Lsm6dsoxModel(resting(seed))
    source = I2cImu(ImuConfig(type="i2c", chips={"left_wrist": f"1:0x{model.address:02x}"}), lambda _: SimulatedSmbus([model]))
    with source:
        _until(lambda: bool(source.read(time.monotonic_ns())))
        began_s = time.monotonic()
        model.errno = errno.EREMOTEIO
        noticed = _until(lambda: bool(source.health()[0].problem), SILENT_S)
        detected_s = time.monotonic() - began_s
        time.sleep(max(0.0, began_s + SILENT_S - time.monotonic()))
        source.read(time.monotonic_ns())
        before = source.health()[0].lost
        model.errno = 0
        ended_s = time.monotonic()
        well = _until(lambda: bool(source.read(time.monotonic_ns())) and not source.health()[0].problem)
        recovered_s = time.monotonic() - ended_s
        lost = source.health()[0].lost - before
    problem = "" if well else "the chip never brought data again"
    return Outcome(
        "i2c_errno_121", detected_s if noticed else None, recovered_s if well else None, (), f"{lost} samples", well, problem
    )


def pwm_write_fails(_seed: int) -> Outcome:
    """The guard process that writes the motors' pins dies. Real: driver, guard, sink and supervision. Modelled: the pins
    (gpiozero's mock)."""
    supervisor = Supervisor([service for service in SERVICES if service.name == "vibration"])
    haptic = PwmHaptic(HapticConfig(type="pwm", max_duty=1.0))

    def opened() -> Sink:
        haptic.open()
        return HapticSink(haptic)

    sink = KeptSink("vibration", opened, supervisor, Threads())

    def state_after_a_step() -> ServiceState:
        now_ns = time.monotonic_ns()
        sink.step(now_ns)
        for order in supervisor.step(now_ns):
            (sink.start if order.do is Do.START else sink.stop)(now_ns)
        sink.receive(Vibration(now_ns, 0, 0, 0.5, NS_PER_S // 20))
        return supervisor.state("vibration")

    with _mock_pins(), contextlib.closing(sink):
        _until(lambda: state_after_a_step() is ServiceState.RUNNING)
        began_s = time.monotonic()
        os.kill(haptic.guard_pid, signal.SIGKILL)
        noticed = _until(lambda: state_after_a_step() is not ServiceState.RUNNING)
        detected_s = time.monotonic() - began_s
        well = _until(lambda: state_after_a_step() is ServiceState.RUNNING)
        recovered_s = time.monotonic() - began_s - detected_s
    problem = "" if well else "the motors never moved again"
    lost = f"vibrations of {recovered_s:.1f} s"
    return Outcome("pwm_write_fails", detected_s if noticed else None, recovered_s if well else None, (), lost, well, problem)


def power_cut(seed: int, cuts: int, on_cut: Callable[[int], None] = lambda _n: None) -> tuple[Outcome, float]:
    """Power goes at `cuts` random bytes of the store. The recovery is the longest opening of a store. Returns the share of cuts
    after which everything was there, too."""
    recording = record(workload(seed))
    longest_s, good, problem = 0.0, 0, ""
    for one in cut(recording, cuts, seed, on_cut):
        good += one.ok
        problem = problem or one.problem
        longest_s = max(longest_s, one.opened_s)
    survived = good == cuts
    lost = "nothing that was committed" if survived else f"rows after {cuts - good} of {cuts} cuts"
    return Outcome("power_cut", None, longest_s, (), lost, survived, problem), good / cuts


def bundle_damaged(seed: int) -> Outcome:
    """A byte of the model's file is another one. Real: the file and the check."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "coach"
        shutil.copytree(shipped_bundle(), folder)
        path = folder / STEP
        content = bytearray(path.read_bytes())
        content[seed * 7919 % len(content)] ^= 1
        path.write_bytes(bytes(content))
        began_s = time.monotonic()
        try:
            load_bundle(folder)
            return Outcome("bundle_damaged", None, None, (), "the model", False, "the damaged bundle was not refused")
        except SpotterError:
            detected_s = time.monotonic() - began_s
        good = last_good_bundle(folder)
        recovered_s = time.monotonic() - began_s - detected_s
    survived = good.folder == shipped_bundle()
    return Outcome(
        "bundle_damaged", detected_s, recovered_s, (), "the newer model", survived, "" if survived else "no other bundle"
    )


def memory_pressure(seed: int) -> Outcome:
    """A core whose address space is used up for ten seconds of a set. Real: all of it, in a process of its own (`memory`)."""
    done = subprocess.run(
        [sys.executable, "-m", "device.sim.faults.memory", str(seed)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    if done.returncode != 0:
        return Outcome("memory_pressure", None, None, (), "the session", False, done.stderr.strip().splitlines()[-1])
    found = json.loads(done.stdout)
    kept = found["stored_repetitions"] == found["counted_repetitions"] and found["status"] == "complete"
    lost = found["true_repetitions"] - found["counted_repetitions"]
    said = f"{lost} of {found['true_repetitions']} repetitions" if lost else "nothing"
    problem = "" if kept else f"the store has {found['stored_repetitions']} of {found['counted_repetitions']} repetitions"
    detected_s = found["detected_s"]
    return Outcome("memory_pressure", detected_s, found["longest_step_s"], (), said, kept, problem)


@contextlib.contextmanager
def _mock_pins() -> Iterator[None]:
    """gpiozero of the guard process takes its mock pins."""
    wanted = {"GPIOZERO_PIN_FACTORY": "mock", "GPIOZERO_MOCK_PIN_CLASS": "mockpwmpin"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _until(done: Callable[[], bool], most_s: float = MOST_S) -> bool:
    end_s = time.monotonic() + most_s
    while not done():
        if time.monotonic() > end_s:
            return False
        time.sleep(POLLED_S)
    return True
