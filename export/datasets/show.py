"""`python -m export.datasets.show SET`: a set as pictures, to see whether it says what it should."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from device.errors import SpotterError
from export.datasets.catalogue import SETS, data_folder, read_set
from export.datasets.clip import Clip
from export.datasets.pictures import draw_clip, draw_histograms


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the set; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.datasets.show", description=__doc__, epilog="example: python -m export.datasets.show ui_prmd"
    )
    parser.add_argument("set", choices=sorted(SETS), metavar="SET", help=f"one of {', '.join(SETS)}")
    parser.add_argument("--data", metavar="FOLDER", help="folder of the recordings (default: SPOTTER_DATA, else ../shared/data)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("out/data"), help="where to (default %(default)s)")
    parser.add_argument("--each", metavar="N", type=int, default=2, help="clips of each activity (default %(default)s)")
    args = parser.parse_args(arguments)
    try:
        clips = list(read_set(args.set, data_folder(args.data)))
        folder = args.out / args.set
        draw_histograms(clips, folder / "histograms.png", f"{args.set}: {SETS[args.set].title}")
        for clip in track(some_of_each(clips, args.each), description=f"drawing {args.set}", disable=not sys.stderr.isatty()):
            draw_clip(clip, folder / f"{clip.name}.png")
    except SpotterError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(clips)} clips of {args.set}; pictures in {folder}")
    return 0


def some_of_each(clips: Sequence[Clip], each: int) -> list[Clip]:
    """At most `each` clips of every activity and correctness, evenly from its first to its last."""
    kinds: dict[tuple[str, bool | None], list[Clip]] = {}
    for clip in clips:
        kinds.setdefault((clip.truth.activity, clip.truth.correct), []).append(clip)
    chosen = []
    for same in kinds.values():
        step = max(len(same) // each, 1)
        chosen += same[::step][:each]
    return chosen


if __name__ == "__main__":
    raise SystemExit(main())
