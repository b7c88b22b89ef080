"""Throws damaged and random bytes at every parser of the bands' protocol: python tests/fuzz_band.py --count 1000000

Each input must be taken and encode to itself, or be refused with the typed error; what a parser holds stays bounded.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

from device.band import protocol
from device.rows import Row, add_arguments, report, row, show

VECTORS = json.loads((Path(__file__).parent / "data" / "band_vectors.json").read_text())
NOTIFICATION = 244


def packets(data: bytes) -> None:
    assert protocol.encode_packet(protocol.decode_packet(data)) == data


def requests(data: bytes) -> None:
    request = protocol.decode_request(data)
    assert protocol.encode_request(request.opcode, request.token, *request.values) == data


def answers(data: bytes) -> None:
    answer = protocol.decode_answer(data)
    assert protocol.encode_answer(answer.opcode, answer.token, answer.status, *answer.values) == data


def frames(data: bytes) -> None:
    kind, body = protocol.decode_frame(data)
    assert protocol.decode_frame(protocol.encode_frame(kind, body)[:-1]) == (kind, body)


class Stream:
    """The serial parser keeps its state over all inputs; a frame that follows garbage and a zero is always found."""

    def __init__(self) -> None:
        self._reader = protocol.FrameReader()
        self._good = protocol.encode_frame(protocol.FRAME_PACKET, bytes.fromhex(VECTORS["packets"][1]["bytes"]))

    def __call__(self, data: bytes) -> None:
        self._reader.feed(data)
        assert len(self._reader._piece) < protocol.MAX_FRAME
        assert self._reader.feed(b"\x00" + self._good)[-1][0] == protocol.FRAME_PACKET


class Notifications:
    """The reassembler keeps its state over all inputs."""

    def __init__(self) -> None:
        self._reassembler = protocol.Reassembler()

    def __call__(self, data: bytes) -> None:
        joined = self._reassembler.feed(data[:NOTIFICATION])
        assert len(self._reassembler._parts) <= protocol.MAX_PACKET
        if joined is not None:
            packets(joined)


def seeds(*kinds: str) -> list[bytes]:
    return [bytes.fromhex(vector["bytes"]) for kind in kinds for vector in VECTORS[kind]]


def damaged(rng: random.Random, good: list[bytes]) -> bytes:
    """Random bytes, or a good input with some bytes changed, cut out, doubled or put in."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(300))
    data = bytearray(rng.choice(good))
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(data) + 1)
        change = rng.randrange(4)
        if change == 0 and place < len(data):
            data[place] = rng.randrange(256)
        elif change == 1:
            del data[place : place + rng.randrange(1, 20)]
        elif change == 2:
            data[place:place] = data[: rng.randrange(20)]
        else:
            data[place:place] = rng.randbytes(rng.randrange(1, 20))
    return bytes(data)


def fuzz(name: str, parse: Callable[[bytes], None], good: list[bytes], count: int, seed: int) -> list[Row]:
    """`count` inputs to one parser; rows of how many were taken and refused. An AssertionError or any other error is a bug."""
    rng = random.Random(seed)
    taken = 0
    for _ in range(count):
        data = damaged(rng, good)
        try:
            parse(data)
        except protocol.ProtocolError:
            continue
        except Exception:
            print(f"{name}: {data.hex()}", file=sys.stderr)
            raise
        taken += 1
    return [row(f"{name}_inputs", count, "inputs"), row(f"{name}_taken", taken, "inputs")]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=1_000_000, help="inputs, over all parsers")
    arguments.add_argument("--seed", type=int, default=0)
    add_arguments(arguments)
    options = arguments.parse_args()
    fragments = [bytes.fromhex(part) for vector in VECTORS["fragments"] for part in vector["parts"]]
    framed = [bytes.fromhex(vector["frame"]) for kind in ("packets", "requests", "answers") for vector in VECTORS[kind]]
    parsers: list[tuple[str, Callable[[bytes], None], list[bytes]]] = [
        ("packet", packets, seeds("packets")),
        ("notification", Notifications(), seeds("packets") + fragments),
        ("frame", frames, [frame[:-1] for frame in framed]),
        ("stream", Stream(), framed),
        ("request", requests, seeds("requests")),
        ("answer", answers, seeds("answers")),
    ]
    each = -(-options.count // len(parsers))
    rows = [figure for name, parse, good in parsers for figure in fuzz(name, parse, good, each, options.seed)]
    return show(report(rows, seed=options.seed), options)


if __name__ == "__main__":
    sys.exit(main())
