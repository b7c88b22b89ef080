import sys
from pathlib import Path

import pytest

from device.config import CameraConfig, HapticConfig, ImuConfig, SpeakerConfig
from device.drivers import registry
from device.drivers.base import Haptic
from device.drivers.haptic_virtual import VirtualHaptic
from device.drivers.registry import available, create, create_camera, create_haptic, create_imu, create_speaker
from device.errors import DriverError, DriverUnavailable, UnknownDriver


def install(folder: Path, distribution: str, entry_points: str, **modules: str) -> None:
    """A distribution as pip would leave it in site-packages."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)


GOOD = "from device.drivers.haptic_virtual import VirtualHaptic\nclass AcmeHaptic(VirtualHaptic):\n    pass\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


@pytest.mark.parametrize(("base", "kind"), sorted(registry.BUILT_IN))
def test_every_built_in_driver_is_a_class_of_its_base(base, kind):
    cls = registry._load(registry.BUILT_IN[base, kind])
    assert issubclass(cls, registry.BASES[base])


def test_the_config_chooses_the_driver():
    assert isinstance(create_haptic(HapticConfig(type="virtual")), VirtualHaptic)
    assert type(create_camera(CameraConfig(type="file"))).__name__ == "FileCamera"
    assert type(create_imu(ImuConfig(type="none"))).__name__ == "NoImu"
    assert type(create_speaker(SpeakerConfig(type="wav"))).__name__ == "WavSpeaker"


def test_creating_a_driver_opens_nothing():
    create_camera(CameraConfig(type="v4l2", device="/dev/there-is-none"))
    create_speaker(SpeakerConfig(type="alsa"))


def test_parts_reach_the_constructor():
    heard = []
    haptic = create_haptic(HapticConfig(type="virtual"), listener=heard.append)
    with haptic:
        haptic.vibrate(0, 1.0, 100_000_000, 0)
    assert len(heard) == 1


def test_a_driver_that_needs_more_than_the_config_says_so():
    with pytest.raises(DriverUnavailable, match=r"trainee.*spotter demo"):
        create_camera(CameraConfig(type="virtual"))


def test_an_unknown_type_names_the_nearest_and_lists_all():
    with pytest.raises(UnknownDriver, match=r"'pwn'.*Did you mean 'pwm'.*log, pwm, virtual"):
        create("haptic", "pwn", HapticConfig())


def test_an_unknown_base_lists_the_bases():
    with pytest.raises(UnknownDriver, match="camera, imu, speaker, haptic"):
        create("smell", "nose", None)


def test_an_installed_package_adds_a_driver(site):
    install(site, "acme-spotter", "[spotter.drivers]\nhaptic.acme = acme_good:AcmeHaptic\n", acme_good=GOOD)
    assert available("haptic")["acme"] == "acme-spotter"
    assert "acme" not in available("camera")
    driver = create("haptic", "acme", HapticConfig(type="acme"))
    assert isinstance(driver, Haptic)
    assert type(driver).__module__ == "acme_good"


def test_a_broken_package_is_named_and_harms_no_other(site):
    install(site, "acme-broken", "[spotter.drivers]\nhaptic.broken = acme_bad:Motor\n", acme_bad="import no_such_library\n")
    install(site, "acme-spotter", "[spotter.drivers]\nhaptic.acme = acme_good:AcmeHaptic\n", acme_good=GOOD)
    with pytest.raises(DriverError, match=r"acme-broken.*no_such_library"):
        create("haptic", "broken", HapticConfig())
    create("haptic", "acme", HapticConfig())
    create("haptic", "log", HapticConfig())


def test_a_package_whose_class_is_absent_is_named(site):
    install(site, "acme-spotter", "[spotter.drivers]\nhaptic.acme = acme_good:Nothing\n", acme_good=GOOD)
    with pytest.raises(DriverError, match=r"acme-spotter.*Nothing"):
        create("haptic", "acme", HapticConfig())


def test_a_class_of_another_base_is_refused(site):
    install(site, "acme-spotter", "[spotter.drivers]\ncamera.acme = acme_good:AcmeHaptic\n", acme_good=GOOD)
    with pytest.raises(DriverError, match="not a Camera"):
        create("camera", "acme", CameraConfig())


def test_a_package_does_not_replace_a_built_in_driver(site):
    install(site, "acme-spotter", "[spotter.drivers]\nhaptic.virtual = acme_good:AcmeHaptic\n", acme_good=GOOD)
    assert type(create("haptic", "virtual", HapticConfig())) is VirtualHaptic
    assert available("haptic")["virtual"] == "spotter"
