import contextlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.errors import MediaError
from device.runtime.landmarks import read_landmarks, read_landmarks_meta

SHARED = Path(__file__).parents[2] / "shared" / "data" / "video_pose"


def arrays(frames=5, **changes):
    rng = np.random.default_rng(1)
    data = {
        "norm": rng.random((frames, 33, 4)).astype(np.float32),
        "world": rng.normal(size=(frames, 33, 3)).astype(np.float32),
        "t": 2.0 + np.arange(frames) / 30,
        "meta": json.dumps({"fps": 30, "width": 360, "height": 640, "exercise": "squat"}),
    }
    data.update(changes)
    return {key: value for key, value in data.items() if value is not None}


def write(folder, **changes):
    file = folder / "landmarks.npz"
    np.savez(file, **arrays(**changes))
    return file


def test_poses_carry_the_landmarks_and_their_times(tmp_path):
    poses = read_landmarks(write(tmp_path), start_ns=7)
    data = arrays()
    assert [pose.seq for pose in poses] == list(range(5))
    assert poses[0].t_ns == 7
    assert poses[3].t_ns == pytest.approx(7 + 100_000_000, abs=1)
    assert (poses[0].width, poses[0].height) == (360, 640)
    np.testing.assert_array_equal(poses[4].image, data["norm"][4])
    np.testing.assert_array_equal(poses[4].world, data["world"][4])
    assert all(pose.present for pose in poses)
    assert read_landmarks_meta(write(tmp_path))["exercise"] == "squat"


def test_a_frame_without_a_person_is_absent_and_all_nan(tmp_path):
    norm = arrays()["norm"]
    norm[2, 5, 0] = np.nan
    poses = read_landmarks(write(tmp_path, norm=norm))
    assert [pose.present for pose in poses] == [True, True, False, True, True]
    assert np.isnan(poses[2].image).all()
    assert np.isnan(poses[2].world).all()


def test_meta_may_be_absent(tmp_path):
    assert len(read_landmarks(write(tmp_path, meta=None))) == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"norm": None}, "lacks `norm`"),
        ({"t": None}, "lacks `t`"),
        ({"norm": np.zeros((5, 33, 3))}, "`norm` has shape"),
        ({"world": np.zeros((4, 33, 3))}, "`world` has shape"),
        ({"t": np.zeros((5, 1))}, "shape"),
        ({"t": np.float64(3.0)}, "shape"),
        ({"t": np.array([0, 1, 1, 2, 3.0])}, "rise"),
        ({"t": np.array([0, 1, np.nan, 2, 3.0])}, "rise"),
        ({"world": np.full((5, 33, 3), "x")}, "does not hold numbers"),
        ({"norm": np.full((5, 33, 4), 1j)}, "does not hold numbers"),
        ({"norm": np.full((5, 33, 4), None)}, "landmarks anew"),
        ({"meta": "{"}, "not JSON"),
        ({"meta": "[1]"}, "JSON object"),
        ({"meta": '{"width": 0}'}, "pixels"),
        ({"meta": '{"height": "tall"}'}, "pixels"),
        ({"frames": 0}, "0 frames"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, changes, said):
    with pytest.raises(MediaError, match=said):
        read_landmarks(write(tmp_path, **changes))


def test_an_absent_file_says_so(tmp_path):
    with pytest.raises(MediaError, match="No such file"):
        read_landmarks(tmp_path / "none.npz")


def test_a_single_array_is_no_archive(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(MediaError, match=r"no \.npz"):
        read_landmarks(tmp_path / "a.npy")


def test_an_archive_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ("norm", "world", "t"):
            archive.writestr(name, "text")
    with pytest.raises(MediaError):
        read_landmarks(tmp_path / "a.npz")


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_only_ever_a_media_error(tmp_path, at, value, cut):
    data = bytearray(write(tmp_path).read_bytes())
    at %= len(data)
    data[at] = value
    file = tmp_path / "damaged.npz"
    file.write_bytes(data[:at] if cut else data)
    with contextlib.suppress(MediaError):
        read_landmarks(file)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the landmark files of real videos are not here")
@pytest.mark.parametrize("name", ["squat_front", "lunge_side", "jumping_jack_front", "bicep_curl_front", "push_up_side"])
def test_landmarks_of_real_videos_are_read(name):
    poses = read_landmarks(SHARED / f"{name}.npz")
    assert len(poses) > 300
    assert np.mean([pose.present for pose in poses]) > 0.9
