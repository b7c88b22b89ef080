"""One test body over every driver of a base that this machine has."""

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from chip_bench import model_of
from serial_bench import PtyBand

from device.config import CameraConfig, HapticConfig, ImuConfig, SpeakerConfig
from device.drivers.registry import BUILT_IN, create_camera, create_haptic, create_imu, create_speaker
from device.errors import DriverError, DriverUnavailable, EndOfStream, StaleFrame
from device.messages import Frame, ImuBatch
from device.runtime.recording import Recorder
from device.sim_chips.model import resting
from device.sim_chips.smbus import SimulatedSmbus
from device.skeleton import BANDS, N_BANDS
from device.voice import load_prompts

MS = 1_000_000


def kinds(base):
    return [kind for of, kind in BUILT_IN if of == base]


def opened(driver, request):
    try:
        driver.open()
    except DriverUnavailable as error:
        pytest.skip(str(error))
    request.addfinalizer(driver.close)
    return driver


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    import cv2

    file = tmp_path_factory.mktemp("video") / "ramp.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for i in range(40):
        writer.write(np.full((48, 64, 3), (i * 6, 0, 0), np.uint8))
    writer.release()
    return file


def make_trainee():
    from device.sim.trainee import VirtualTrainee, plan_session

    return VirtualTrainee(3, plan_session(3, sets=["squat"], reps=3))


@pytest.fixture(params=kinds("camera"))
def make_camera(request, video):
    def make():
        if request.param == "virtual":
            from device.sim.scene import session_scene

            config = CameraConfig(type="virtual", width=128, height=96)
            return create_camera(config, trainee=make_trainee(), scene=session_scene(3))
        device = str(video) if request.param == "file" else "/dev/video0"
        parts = {"start_ns": 0} if request.param == "file" else {}
        return create_camera(CameraConfig(type=request.param, device=device), **parts)

    return make


def test_a_camera_gives_frames_in_order(make_camera, request):
    camera = opened(make_camera(), request)
    frames = [camera.read() for _ in range(5)]
    assert all(isinstance(frame, Frame) for frame in frames)
    assert all(frame.pixels.dtype == np.uint8 and frame.pixels.ndim == 3 and frame.pixels.shape[2] == 3 for frame in frames)
    assert all(b.t_ns > a.t_ns and b.seq > a.seq for a, b in pairwise(frames))
    assert all(frame.sigma_ns >= 0 for frame in frames)
    assert camera.latest(10_000 * MS).seq >= frames[-1].seq


def test_a_camera_closes_twice_and_opens_again(make_camera, request):
    camera = opened(make_camera(), request)
    first = camera.read()
    camera.close()
    camera.close()
    with pytest.raises(DriverError):
        camera.read()
    camera.open()
    assert camera.read().pixels.shape == first.pixels.shape


def test_a_camera_without_a_frame_has_no_latest(make_camera):
    with pytest.raises((StaleFrame, DriverError)):
        make_camera().latest(1000 * MS)


@pytest.fixture
def plugged_band(tmp_path):
    with PtyBand(tmp_path / "ttyACM0") as band:
        yield band


@pytest.fixture(params=kinds("imu"))
def make_imu(request, tmp_path):
    def make():
        if request.param == "virtual":
            return create_imu(ImuConfig(type="virtual"), trainee=make_trainee(), epoch_ns=0)
        if request.param == "recording":
            folder = tmp_path / "recording"
            if not folder.exists():
                with Recorder(folder) as recorder:
                    for i in range(400):
                        times = np.arange(3, dtype=np.int64) * 10 * MS + i * 30 * MS
                        batch = ImuBatch(i * 30 * MS + 40 * MS, MS, i // 4 * 3, i % 4, 1, times, np.ones((3, 6), np.float32))
                        recorder.write(batch)
            return create_imu(ImuConfig(type="recording", device=str(folder)), start_ns=0)
        if request.param == "i2c":
            chips = [model_of(name, resting(i), address=0x68 + i) for i, name in enumerate(("bmi270", "mpu6050", "lsm6dsox"))]
            places = {limb: f"1:{chip.address}" for limb, chip in zip(BANDS, chips, strict=False)}
            return create_imu(ImuConfig(type="i2c", chips=places), open_bus=lambda _number: SimulatedSmbus(chips))
        if request.param == "serial":
            band = request.getfixturevalue("plugged_band")
            return create_imu(ImuConfig(type="serial", ports={"left_ankle": str(band.path)}))
        return create_imu(ImuConfig(type=request.param))

    return make


def test_a_source_gives_what_has_arrived_once(make_imu, request):
    source = opened(make_imu(), request)
    early, late = source.read(2000 * MS), source.read(4000 * MS)
    assert source.read(4000 * MS) == []
    for batch in (*early, *late):
        assert 0 <= batch.band < N_BANDS
        assert batch.values.shape == (len(batch.times_ns), 6)
        assert batch.values.dtype == np.float32
        assert batch.times_ns.dtype == np.int64
    assert all(batch.t_ns <= 2000 * MS for batch in early)
    assert all(batch.t_ns <= 4000 * MS for batch in late)
    assert not {(batch.band, batch.seq) for batch in early} & {(batch.band, batch.seq) for batch in late}


def test_a_source_closes_twice(make_imu, request):
    source = opened(make_imu(), request)
    source.close()
    source.close()


@pytest.mark.parametrize("make_imu", ["i2c", "serial"], indirect=True)
def test_a_live_source_gives_samples_of_now_and_says_how_it_does(make_imu, request):
    began = time.monotonic_ns()
    source = opened(make_imu(), request)
    time.sleep(1.0)
    now = time.monotonic_ns()
    batches = source.read(now)
    assert source.read(now) == []
    assert sum(len(batch.times_ns) for batch in batches) >= 30
    assert all(began < batch.t_ns <= now for batch in batches)
    assert set(source.health()) == {batch.band for batch in batches}
    assert all(health.received >= 30 and not health.problem for health in source.health().values())
    source.close()
    with pytest.raises(DriverError, match="not open"):
        source.read(now)
    source.open()


@pytest.mark.parametrize("make_imu", ["virtual", "recording"], indirect=True)
def test_a_finite_source_says_when_it_is_done(make_imu, request):
    source = opened(make_imu(), request)
    assert source.read(3_600_000 * MS)
    with pytest.raises(EndOfStream):
        source.read(3_600_000 * MS)


@pytest.fixture(params=kinds("speaker"))
def speaker(request, tmp_path):
    return opened(
        create_speaker(SpeakerConfig(type=request.param, device=str(tmp_path / "said.wav") * (request.param == "wav"))), request
    )


def test_prompts_never_overlap(speaker):
    prompts = load_prompts()
    now = time.monotonic_ns()
    first = speaker.say(("knees_out",), now)
    second = speaker.say(("set_done", "count_10"), now)
    assert first >= now + prompts.duration_ns(("knees_out",)) - MS
    assert second == pytest.approx(first + prompts.duration_ns(("set_done", "count_10")), abs=2 * MS)
    assert speaker.free_at_ns() == second


def test_a_prompt_waits_for_its_time(speaker):
    later = time.monotonic_ns() + 2_000 * MS
    end = speaker.say(("better",), later)
    assert end == pytest.approx(later + load_prompts().duration_ns(("better",)), abs=2 * MS)


def test_an_unknown_prompt_is_left_out_and_warned_of(speaker, caplog):
    end = speaker.say(("no_such_prompt",), time.monotonic_ns())
    assert end <= time.monotonic_ns() + 1_000 * MS
    assert "no_such_prompt" in caplog.text


@pytest.fixture(params=kinds("haptic"))
def haptic(request, tmp_path, monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setenv("GPIOZERO_MOCK_PIN_CLASS", "mockpwmpin")
    device = str(tmp_path / "haptic.jsonl") * (request.param == "log")
    parts = {"source": StillBands()} if request.param == "band" else {}
    return opened(create_haptic(HapticConfig(type=request.param, device=device, max_on_ms=500, max_duty=0.2), **parts), request)


class StillBands:
    """Bands that can vibrate."""

    def vibrate(self, index, duration_ms, intensity):
        assert 0 <= index < N_BANDS
        assert 0 < duration_ms <= 1000
        assert 0 <= intensity <= 255


def test_a_vibration_is_bounded(haptic):
    now = time.monotonic_ns()
    assert haptic.vibrate(0, 0.5, 200 * MS, now) == 200 * MS
    assert haptic.vibrate(1, 0.5, 60_000 * MS, now) == 500 * MS
    total = sum(haptic.vibrate(2, 1.0, 400 * MS, now + i * 1000 * MS) for i in range(9))
    assert total == 2000 * MS


@pytest.mark.parametrize("intensity", [0.0, -1.0, float("nan"), float("inf")])
def test_no_intensity_is_no_vibration(haptic, intensity):
    assert haptic.vibrate(0, intensity, 200 * MS, time.monotonic_ns()) == 0


def test_a_band_that_is_not_there_is_an_error(haptic):
    with pytest.raises(DriverError, match="0 to 3"):
        haptic.vibrate(4, 1.0, 200 * MS, time.monotonic_ns())


def test_a_closed_haptic_does_not_vibrate(haptic):
    haptic.off()
    haptic.close()
    haptic.close()
    with pytest.raises(DriverError, match="not open"):
        haptic.vibrate(0, 1.0, 200 * MS, time.monotonic_ns())


def test_the_bounds_outlive_a_restart_of_the_driver(haptic):
    now = time.monotonic_ns()
    assert sum(haptic.vibrate(0, 1.0, 500 * MS, now + i * 700 * MS) for i in range(4)) == 2000 * MS
    haptic.close()
    haptic.open()
    assert haptic.vibrate(0, 1.0, 500 * MS, now + 4 * 700 * MS) == 0


def test_no_driver_loads_its_library_when_it_is_imported():
    code = (
        "import sys, importlib\n"
        "from device.drivers.registry import BUILT_IN, _load\n"
        "for (base, kind), place in BUILT_IN.items():\n"
        "    if kind != 'virtual': _load(place)\n"
        "heavy = {'cv2', 'gpiozero', 'sounddevice', 'picamera2', 'mediapipe', 'matplotlib', 'smbus2', 'serial', 'bleak'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, env=environment)
