"""The chips on the bands' own interpreter: the same transfers in the same order, and the same samples, as here."""

import json
import subprocess
from pathlib import Path

import pytest
from chip_bench import KINDS, Clock, ModelBus, counting, load_blob, model_of
from firmware_bench import needs_interpreter

import device.band
from device.sim_radio.firmware import INTERPRETER

pytestmark = needs_interpreter
BAND = Path(device.band.__file__).parent

SESSION = """
def session(chip, sleep_ms):
    said = []
    chip.probe()
    said.append(chip.self_test().text())
    chip.start(100)
    for pause_ms in (80, 200, 3000, 100):
        sleep_ms(pause_ms)
        chip.read_fifo()
        said.append((bytes(chip.samples).hex(), chip.overflow, chip.lost))
    chip.wake_on_motion(80)
    chip.start(200, 4, 500, 16)
    sleep_ms(50)
    chip.read_fifo()
    said.append((bytes(chip.samples).hex(), chip.accel_code, chip.gyro_code, chip.rate_hz))
    chip.stop()
    return said
"""

ON_THE_BAND = """
import hw, json, sys
sys.path[:0] = ["/"]
from device.band import chips

class Replayed:
    def read(self, register, n):
        return bytes.fromhex(hw.read(register, n))
    def write(self, register, data):
        hw.write(register, bytes(data).hex())

def load_blob(name):
    with open("/device/band/chips/" + name, "rb") as file:
        return file.read()

kind = {kind.NAME: kind for kind in chips.CHIPS}[hw.name()]
print(json.dumps(session(kind(Replayed(), lambda ms: None, load_blob), lambda ms: None)))
"""

NODE = """
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';
const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const { loadMicroPython } = await import(pathToFileURL(process.argv[2]));
const mp = await loadMicroPython({ heapsize: 192 * 1024, stdout: (line) => console.log(line) });
let at = 0;
const next = (kind, register, what) => {
  const [k, r, w, answer] = job.transfers[at++] ?? [];
  if (k !== kind || r !== register || w !== what) throw new Error(`transfer ${at}: ${kind} ${register} ${what}, not ${w}`);
  return answer;
};
mp.registerJsModule('hw', {
  name: () => job.name, read: (register, n) => next('r', register, n), write: (register, data) => next('w', register, data),
});
for (const folder of ['/device', '/device/band', '/device/band/chips']) mp.FS.mkdir(folder);
for (const [name, content] of Object.entries(job.files)) mp.FS.writeFile(name, Buffer.from(content, 'hex'));
mp.runPython(job.code);
if (at !== job.transfers.length) throw new Error(`${job.transfers.length - at} transfers were not made`);
"""


class RecordedBus(ModelBus):
    def __init__(self, model, clock):
        super().__init__(model, clock)
        self.transfers = []

    def read(self, register, n):
        data = super().read(register, n)
        self.transfers.append(("r", register, n, data.hex()))
        return data

    def write(self, register, data):
        super().write(register, data)
        self.transfers.append(("w", register, bytes(data).hex(), ""))


@pytest.mark.parametrize("name", KINDS)
def test_a_chip_does_the_same_on_a_band(name, tmp_path):
    clock = Clock()
    bus = RecordedBus(model_of(name, counting()), clock)
    names: dict = {}
    exec(SESSION, names)
    here = names["session"](KINDS[name](bus, clock.sleep_ms, load_blob), clock.sleep_ms)
    files = {
        f"/device/band/{path.relative_to(BAND)}": path.read_bytes().hex() for path in BAND.rglob("*.[bp][iy]*") if path.is_file()
    }
    files["/device/__init__.py"] = ""
    (tmp_path / "replay.mjs").write_text(NODE)
    job = {"name": name, "transfers": bus.transfers, "files": files, "code": SESSION + ON_THE_BAND}
    done = subprocess.run(
        ["node", str(tmp_path / "replay.mjs"), str(INTERPRETER)],
        input=json.dumps(job), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(here))
