"""`spotter band`: pair the bands, see how they are, and look after them."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from device.config import Config
    from device.drivers.ble.backend import Backend
    from device.drivers.ble.trust import AllowList, Trusted
    from device.drivers.health import BandHealth
    from device.runtime.timebase import Timebase

CALIBRATE_S = 20.0
LIMBS = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
"""`skeleton.BANDS`, whose module loads what `--help` should not wait for."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "band",
        help="pair the bands, see how they are, look after them",
        description="Pair the four bands and look after them. A band is named by its name, address, id or limb.",
        epilog="example: spotter band pair --limb left_wrist\n         spotter band watch",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="WHAT", required=True)

    def part(name: str, run: Callable[[argparse.Namespace], int], text: str, example: str) -> argparse.ArgumentParser:
        added = parts.add_parser(
            name,
            help=text[0].lower() + text[1:].split(".")[0],
            description=text,
            epilog=f"example: spotter band {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.add_argument("--config", metavar="FILE", help="settings file (TOML)")
        added.add_argument("--json", action="store_true", help="print the result as JSON")
        added.set_defaults(run=run, backend=None)
        return added

    listed = part("list", _list, "List the paired bands, and with --scan those in range.", "list --scan 3")
    listed.add_argument("--scan", type=_seconds, metavar="S", help="listen for bands this long")
    pair = part(
        "pair",
        _pair,
        "Pair the nearest bands that are not paired yet. Pairing closes by itself; a band that is paired vibrates.",
        "pair --limb left_wrist",
    )
    pair.add_argument("--limb", choices=LIMBS, help="where the band is worn (one band only)")
    pair.add_argument("--count", type=int, default=None, metavar="N", help="how many bands, 1 to 4 (default 1)")
    pair.add_argument("--seconds", type=_seconds, metavar="S", help="when pairing closes (default imu.pairing_window_s)")
    forget = part("forget", _forget, "Trust a band no longer, and delete its keys.", "forget left_wrist")
    identify = part("identify", _identify, "Make a band vibrate and blink.", "identify 'Spotter 3fa2'")
    for one in (forget, identify):
        one.add_argument("band", metavar="BAND", help="the band")
    watch = part("watch", _watch, "Show rates, loss, battery and clock of the bands until Ctrl-C.", "watch --duration 30 --json")
    watch.add_argument("--duration", type=_seconds, metavar="S", help="stop after this many seconds")
    test = part("selftest", _selftest, "Let a band test its sensor, memory and battery.", "selftest left_wrist")
    calibrate = part("calibrate", _calibrate, "Measure the gyro's bias of bands that lie still on a table.", "calibrate")
    for some in (test, calibrate):
        some.add_argument("band", metavar="BAND", nargs="?", help="the band (default: all paired ones)")
    flash = part(
        "flash", _flash, "Put the firmware on a band that is on a USB cable.", "flash --board esp32s3 --port /dev/ttyACM0"
    )
    flash.add_argument("--board", required=True, metavar="BOARD", help="esp32s3 or picow")
    flash.add_argument("--port", metavar="PORT", help="its serial port (default: the only one of its kind)")
    flash.add_argument("--image", type=Path, metavar="FILE", help="also write this image of MicroPython first (.bin)")
    flash.add_argument("--dry-run", action="store_true", help="print the commands and run none")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("must be more than 0 s")
    return value


def _list(args: argparse.Namespace) -> int:
    config, allow_list, backend = _prepared(args)
    from device.drivers.ble.pairing import listen
    from device.drivers.ble.trust import worn

    heard = {each.device.address: each for each in asyncio.run(listen(backend, args.scan))} if args.scan else {}
    placed = worn(allow_list.bands, config.imu.bands)
    rows: list[dict[str, Any]] = []
    for band in allow_list.bands:
        here = heard.pop(band.address, None)
        limb = LIMBS[placed[band.address]] if band.address in placed else ""
        state = "in range" if here else ""
        if here and not here.bonded:
            state = "bond gone: pair it again"
        rows.append(asdict(band) | {"limb": limb, "paired": True, "state": state, "rssi_dbm": here.rssi_dbm if here else None})
    for address, each in heard.items():
        rows.append(
            {"address": address, "name": each.name, "limb": "", "paired": False, "state": "not paired", "rssi_dbm": each.rssi_dbm}
        )
    if args.json:
        print(json.dumps({"bands": rows}))
    elif rows:
        _table(["name", "address", "limb", "paired", "signal", ""], [_listed(row) for row in rows])
    else:
        print("No band is paired. Pair one: spotter band pair")
    return 0


def _pair(args: argparse.Namespace) -> int:
    from device.drivers.ble.pairing import pair_bands
    from device.drivers.ble.trust import PairingWindow, sole_owner
    from device.errors import ConfigError

    config, allow_list, backend = _prepared(args)
    count = 1 if args.count is None else args.count
    if not 1 <= count <= len(LIMBS) or (args.limb and count > 1):
        raise ConfigError(f"--count must be 1 to {len(LIMBS)}, and 1 with --limb, not {count}.")
    window_s = args.seconds or config.imu.pairing_window_s
    _say(args, f"Pairing for {window_s:g} s. Switch the band on and hold it close to this unit.")
    with sole_owner(config.imu.trusted):
        window = PairingWindow(window_s)
        done = asyncio.run(
            pair_bands(backend, allow_list, window, count=count, limb=args.limb or "", say=lambda text: _say(args, text))
        )
    if args.json:
        print(json.dumps({"paired": [asdict(band) for band in done]}))
    if len(done) < count:
        _say(
            args,
            f"Pairing has closed with {len(done)} of {count} bands. Are they switched on, near, and not connected elsewhere?",
        )
        return 1
    return 0


def _forget(args: argparse.Namespace) -> int:
    from device.drivers.ble.pairing import unpair
    from device.drivers.ble.trust import sole_owner

    config, allow_list, backend = _prepared(args)
    band = allow_list.find(args.band)
    with sole_owner(config.imu.trusted):
        allow_list.remove(band)
        deleted = asyncio.run(unpair(backend, band))
    if args.json:
        print(json.dumps({"forgotten": asdict(band), "keys_deleted": deleted}))
    else:
        rest = "" if deleted else f" It was not in range; delete its keys too: bluetoothctl remove {band.address}"
        print(f"{band.name} ({band.address}) is forgotten.{rest}")
    return 0


def _identify(args: argparse.Namespace) -> int:
    from device.band import protocol

    band, _ = _asked(args, protocol.IDENTIFY)
    if args.json:
        print(json.dumps({"identified": asdict(band)}))
    else:
        print(f"{band.name} vibrates and blinks.")
    return 0


def _selftest(args: argparse.Namespace) -> int:
    from device.band import protocol

    _, allow_list, _ = _prepared(args)
    names = [args.band] if args.band else [band.address for band in allow_list.bands]
    results: list[dict[str, Any]] = []
    for name in names:
        band, values = _asked(args, protocol.SELF_TEST, name)
        bits = int(values[0])
        tests = {test: bool(bits >> i & 1) for i, test in enumerate(protocol.TEST_NAMES)}
        results.append({"name": band.name, "address": band.address, "passed": all(tests.values()), "tests": tests})
    if args.json:
        print(json.dumps({"bands": results}))
    for result in results if not args.json else []:
        failed = [test for test, passed in result["tests"].items() if not passed]
        print(f"{result['name']}: " + (f"failed: {', '.join(failed)}" if failed else "passed"))
    return 0 if all(result["passed"] for result in results) else 1


def _calibrate(args: argparse.Namespace) -> int:
    from device.drivers.imu_ble import BleImu
    from device.errors import CalibrationError
    from device.runtime.calibration import FILE_NAME, CalibrationStore, calibrate

    config, allow_list, backend = _prepared(args)
    wanted = {allow_list.find(args.band).address} if args.band else {band.address for band in allow_list.bands}
    store = CalibrationStore(Path(config.store.path).expanduser().with_name(FILE_NAME))
    _say(args, "Lay the bands on a table and do not touch it.")
    results: dict[str, dict[str, Any]] = {}
    with BleImu(config.imu, backend) as imu:
        kept: dict[int, list[Any]] = {}
        ends = time.monotonic() + CALIBRATE_S
        bands = [band for band in imu.bands if band.trusted.address in wanted]
        errors: dict[str, str] = {}
        while len(results) < len(bands) and time.monotonic() < ends:
            for batch in imu.read(time.monotonic_ns()):
                kept.setdefault(batch.band, []).append(batch)
            for band in [band for band in bands if band.trusted.name not in results]:
                try:
                    found = calibrate(kept.get(band.stream.band, []))
                except CalibrationError as error:
                    errors[band.trusted.name] = str(error)
                    continue
                store.keep(band.trusted.identity, found)
                results[band.trusted.name] = asdict(found)
                _say(args, f"{band.trusted.name} is calibrated.")
            time.sleep(0.2)
    failed = {name: text for name, text in errors.items() if name not in results}
    if args.json:
        print(json.dumps({"calibrated": results, "failed": failed}))
    for name, text in failed.items():
        _say(args, f"{name}: {text}")
    return 1 if failed else 0


def _watch(args: argparse.Namespace) -> int:
    from device.drivers.imu_ble import BleImu
    from device.runtime.timebase import Timebase

    config, _, backend = _prepared(args)
    timebase = Timebase()
    ends = time.monotonic() + args.duration if args.duration else None
    with BleImu(config.imu, backend) as imu:
        while ends is None or time.monotonic() < ends:
            time.sleep(1.0 if ends is None else max(0.0, min(1.0, ends - time.monotonic())))
            now_ns = time.monotonic_ns()
            for ping in imu.pings(now_ns):
                timebase.ping(ping)
            for batch in imu.read(now_ns):
                timebase.convert(batch, batch.t_ns)
            rows = [_watched(band, health, timebase, now_ns) for band, health in sorted(imu.health().items())]
            if args.json:
                print(json.dumps({"bands": rows}), flush=True)
            else:
                _table(list(rows[0]), [[_text(value) for value in row.values()] for row in rows])
    return 0


def _flash(args: argparse.Namespace) -> int:
    from device.band_tools.flash import flash

    said: list[str] = []
    flash(args.board, args.port, args.image, dry_run=args.dry_run, say=said.append if args.json else print)
    if args.json:
        print(json.dumps({"flashed": not args.dry_run, "steps": said}))
    return 0


def _prepared(args: argparse.Namespace) -> tuple[Config, AllowList, Backend]:
    from device.config import load_config
    from device.drivers.ble.backend import Backend, require_bleak
    from device.drivers.ble.trust import AllowList

    config = load_config(args.config)
    require_bleak()
    return config, AllowList(config.imu.trusted).load(), args.backend or Backend(adapter=config.imu.adapter)


def _asked(args: argparse.Namespace, opcode: int, name: str | None = None) -> tuple[Trusted, tuple[int | bytes, ...]]:
    """One request to the band that `name`, else `args.band`, names; the band and its answer."""
    from device.drivers.ble.pairing import visit
    from device.drivers.ble.trust import sole_owner

    config, allow_list, backend = _prepared(args)
    band = allow_list.find(name or args.band)

    async def go() -> tuple[int | bytes, ...]:
        async with visit(backend, band) as (_client, control):
            return await control.ask(opcode)

    with sole_owner(config.imu.trusted):
        return band, asyncio.run(go())


def _watched(band: int, health: BandHealth, timebase: Timebase, now_ns: int) -> dict[str, Any]:
    clock = timebase.state(band)
    return {
        "limb": LIMBS[band],
        "name": health.name,
        "rate_hz": round(health.rate_hz, 1),
        "loss": round(health.loss, 4),
        "battery": health.battery,
        "rssi_dbm": health.rssi_dbm,
        "sync_ms": round(clock.sigma_ns / 1e6, 2) if clock is not None and clock.pings else None,
        "reconnects": health.reconnects,
        "last_seen_s": round((now_ns - health.last_seen_ns) / 1e9, 1) if health.last_seen_ns is not None else None,
        "problem": health.problem,
    }


def _listed(row: dict[str, Any]) -> list[str]:
    signal = f"{row['rssi_dbm']} dBm" if row["rssi_dbm"] is not None else ""
    return [row["name"], row["address"], row["limb"], "yes" if row["paired"] else "no", signal, row["state"]]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _table(headings: list[str], lines: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for line in lines:
        table.add_row(*line)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


def _say(args: argparse.Namespace, text: str) -> None:
    """What happens, for people; with --json only the result goes to standard output."""
    print(text, file=sys.stderr if args.json else sys.stdout, flush=True)
