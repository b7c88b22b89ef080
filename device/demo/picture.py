"""The README's picture: an error and its correction in the film, beside the plot of that set.

python -m device.demo.picture docs/demo.png
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.config import Config
from device.demo.folder import DemoFolder
from device.errors import MediaError, StoreError

HEIGHT_PX = 620
MOMENTS_S = (-0.5, 0.25)
"""The moments shown, from the cue: the error at its largest, and the caption up with the band vibrating."""
GAP_PX = 10

Picture = NDArray[np.uint8]


def compose(folder: DemoFolder, path: Path) -> None:
    """Write the picture of a finished demo in `folder`. Raises MediaError where there is no film or nothing was corrected,
    StoreError where `path` can't be written."""
    import cv2

    number, exercise, t_s = _first_correction(folder)
    plot = cv2.imread(str(folder.plot(number, exercise)))
    if plot is None:
        raise MediaError(f"{folder.plot(number, exercise)}: can't be read. Run the demo anew.")
    before, after = (_scaled(_film_picture(folder.film, t_s + s), (HEIGHT_PX - GAP_PX) // 2) for s in MOMENTS_S)
    film = np.vstack([before, np.full((GAP_PX, before.shape[1], 3), 255, np.uint8), after])
    gap = np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8)
    if not cv2.imwrite(str(path), np.hstack([film, gap, _scaled(np.asarray(plot, np.uint8), HEIGHT_PX)])):
        raise StoreError(f"{path}: can't be written. Give a PNG file in a folder that can.")


def _first_correction(folder: DemoFolder) -> tuple[int, str, float]:
    """Number (from 1) and exercise of the first set with a correction, and when that came (s)."""
    summary: dict[str, Any] = json.loads(folder.result.read_text(encoding="utf-8"))
    for number, done in enumerate(summary["sets"], start=1):
        for cue in done["cues"]:
            if cue["kind"] == "correction":
                return number, done["exercise"], cue["t_s"]
    raise MediaError(f"{folder.result}: nothing was corrected in that session. Run the demo with another seed.")


def _film_picture(film: Path, t_s: float) -> Picture:
    import cv2

    capture = cv2.VideoCapture(str(film))
    capture.set(cv2.CAP_PROP_POS_MSEC, t_s * 1000)
    found, picture = capture.read()
    capture.release()
    if not found:
        raise MediaError(f"{film}: has no picture at {t_s:.1f} s. Run the demo anew, with its film.")
    return np.asarray(picture, np.uint8)


def _scaled(picture: Picture, height: int) -> Picture:
    import cv2

    width = round(picture.shape[1] * height / picture.shape[0])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def main() -> None:
    from device.demo.run import DemoOptions, run_demo
    from device.screen import Screen

    parser = argparse.ArgumentParser(prog="python -m device.demo.picture", description="Run a short demo and make its picture.")
    parser.add_argument("path", type=Path, metavar="FILE.png")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    config = Config()
    with tempfile.TemporaryDirectory() as out:
        options = DemoOptions(args.seed, Path(out), sets=["squat"], reps=6)
        compose(run_demo(config, options, Screen(config.budget, title="picture")).folder, args.path)


if __name__ == "__main__":
    main()
