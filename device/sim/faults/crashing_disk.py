"""A disk that loses power: notes everything SQLite does to its files, and shows what may be left after a cut at any byte.

Real: SQLite itself, its own unix VFS, and the files it writes. The VFS is wrapped inside the very library that Python's
`_sqlite3` module uses (sqlite.org/vfs.html), so nothing of what is written, truncated, synced or deleted is missed. Modelled:
what the disk keeps. What was synced is there. Of what was not, any part may be: whole writes in order, or any subset of them, one
or more torn at a byte. Names of files appear and go in order, as journalling file systems keep them, and for good once the folder
is synced."""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_CREATE = 0x00000004
_JOURNAL_OR_WAL = 0x00000800 | 0x00004000 | 0x00080000
"""SQLITE_OPEN_CREATE; SQLITE_OPEN_MAIN_JOURNAL, SUPER_JOURNAL and WAL: with the first sync of one of these, a new file's folder
is synced too."""
_SQLITE_OK, _SQLITE_FULL = 0, 13


@dataclass(frozen=True, slots=True)
class Made:
    """A file came into being under `name`; `file` numbers it, as another one may have the name later."""

    file: int
    name: str


@dataclass(frozen=True, slots=True)
class Written:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """`folder`: the names in the file's folder as well."""

    file: int
    folder: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """`synced`: gone for good, as SQLite asked for it."""

    name: str
    synced: bool


Event = Made | Written | Truncated | Synced | Deleted


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""


_Vfs._fields_ = [
    ("version", ctypes.c_int),
    ("file_size", ctypes.c_int),
    ("longest_path", ctypes.c_int),
    ("next", ctypes.c_void_p),
    ("name", ctypes.c_char_p),
    ("data", ctypes.c_void_p),
    ("open", ctypes.c_void_p),
    ("delete", ctypes.c_void_p),
    ("others", ctypes.c_void_p * 13),
]


class _Methods(ctypes.Structure):
    """sqlite3_io_methods, version 3."""


_Methods._fields_ = [
    ("version", ctypes.c_int),
    ("close", ctypes.c_void_p),
    ("read", ctypes.c_void_p),
    ("write", ctypes.c_void_p),
    ("truncate", ctypes.c_void_p),
    ("sync", ctypes.c_void_p),
    ("others", ctypes.c_void_p * 13),
]

_Open = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)
_Delete = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
_Close = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_Write = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_Truncate = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


@dataclass(slots=True)
class _Handle:
    """An open file of SQLite's."""

    file: int
    methods: int
    dirsync: bool


class DiskRecorder:
    """While it is `recording`, every database that this process opens in `folder` goes through it. `events`: what was done so
    far, unless they are not `kept`. `full`: set it, and every write fails as on a disk without space (ENOSPC, SQLITE_FULL).

    `folder` has to be empty at the beginning. One recorder at a time; connections have to be closed before it ends.
    """

    def __init__(self, folder: Path, *, kept: bool = True) -> None:
        self.events: list[Event] = []
        self.full = False
        self._kept = kept
        self._folder = str(folder.resolve())
        self._open: dict[int, _Handle] = {}
        self._files: dict[str, int] = {}
        self._count = 0
        self._library = ctypes.CDLL(_sqlite3.__file__)
        self._library.sqlite3_vfs_find.restype = ctypes.c_void_p
        self._original = _Vfs.from_address(self._library.sqlite3_vfs_find(None))
        self._wrapped: dict[int, _Methods] = {}
        # The wrapped functions must outlive every call that SQLite makes.
        self._callbacks = (
            _Open(self._on_open), _Delete(self._on_delete), _Close(self._on_close),
            _Write(self._on_write), _Truncate(self._on_truncate), _Sync(self._on_sync),
        )  # fmt: skip

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Stand between SQLite and its files."""
        vfs = _Vfs.from_buffer_copy(self._original)
        vfs.name, vfs.next = b"spotter-crashing-disk", None
        vfs.open, vfs.delete = self._address(0), self._address(1)
        self._library.sqlite3_vfs_register(ctypes.byref(vfs), 1)
        try:
            yield
        finally:
            self._library.sqlite3_vfs_register(ctypes.byref(self._original), 1)
            self._library.sqlite3_vfs_unregister(ctypes.byref(vfs))

    def _address(self, which: int) -> int | None:
        return ctypes.cast(self._callbacks[which], ctypes.c_void_p).value

    def _on_open(self, _vfs: int, name: int | None, handle: int, flags: int, out: ctypes._Pointer[ctypes.c_int]) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        ours = path.startswith(self._folder)
        new = ours and bool(flags & _CREATE) and not Path(path).exists()
        status = _Open(self._original.open)(ctypes.addressof(self._original), name, handle, flags, out)
        if status != _SQLITE_OK or not ours:
            return int(status)
        if new or path not in self._files:
            self._files[path] = self._count
            self._note(Made(self._count, Path(path).name))
            self._count += 1
        # A sqlite3_file begins with the pointer to its methods.
        pointer = ctypes.c_void_p.from_address(handle)
        methods = int(pointer.value or 0)
        self._open[handle] = _Handle(self._files[path], methods, new and bool(flags & _JOURNAL_OR_WAL))
        if methods not in self._wrapped:
            wrapped = _Methods.from_buffer_copy(_Methods.from_address(methods))
            wrapped.close, wrapped.write = self._address(2), self._address(3)
            wrapped.truncate, wrapped.sync = self._address(4), self._address(5)
            self._wrapped[methods] = wrapped
        pointer.value = ctypes.addressof(self._wrapped[methods])
        return _SQLITE_OK

    def _on_delete(self, _vfs: int, name: bytes, sync: int) -> int:
        status = int(_Delete(self._original.delete)(ctypes.addressof(self._original), name, sync))
        path = name.decode()
        if status == _SQLITE_OK and path in self._files:
            self._note(Deleted(Path(path).name, bool(sync)))
            del self._files[path]
        return status

    def _on_close(self, handle: int) -> int:
        opened = self._open.pop(handle)
        ctypes.c_void_p.from_address(handle).value = opened.methods
        return int(_Close(self._real(opened).close)(handle))

    def _on_write(self, handle: int, data: int, amount: int, offset: int) -> int:
        opened = self._open[handle]
        if self.full:
            return _SQLITE_FULL
        self._note(Written(opened.file, offset, ctypes.string_at(data, amount)))
        return int(_Write(self._real(opened).write)(handle, data, amount, offset))

    def _on_truncate(self, handle: int, size: int) -> int:
        opened = self._open[handle]
        self._note(Truncated(opened.file, size))
        return int(_Truncate(self._real(opened).truncate)(handle, size))

    def _on_sync(self, handle: int, flags: int) -> int:
        opened = self._open[handle]
        status = int(_Sync(self._real(opened).sync)(handle, flags))
        self._note(Synced(opened.file, opened.dirsync))
        opened.dirsync = False
        return status

    def _note(self, event: Event) -> None:
        if self._kept:
            self.events.append(event)

    @staticmethod
    def _real(opened: _Handle) -> _Methods:
        return _Methods.from_address(opened.methods)


@dataclass(slots=True)
class _Content:
    """`kept`: as it is on the disk for good; `waiting`: what was done since."""

    kept: bytearray = field(default_factory=bytearray)
    waiting: list[Written | Truncated] = field(default_factory=list)


def left_after_cut(events: Sequence[Event], done: int, part: int, rng: np.random.Generator) -> dict[str, bytes]:
    """Name and content of each file on a disk whose power went after `done` events and `part` bytes of the next one.

    `rng` decides what is left of all that was not synced.
    """
    files: dict[int, _Content] = {}
    names: list[Made | Deleted] = []
    sure = 0
    for event in _until(events, done, part):
        match event:
            case Made(number):
                files[number] = _Content()
                names.append(event)
            case Deleted():
                names.append(event)
                sure = len(names) if event.synced else sure
            case Synced(number):
                content = files[number]
                for one in content.waiting:
                    _apply(content.kept, one)
                content.waiting.clear()
                sure = len(names) if event.folder else sure
            case _:
                files[event.file].waiting.append(event)
    there: dict[str, int] = {}
    for change in names[: sure + int(rng.integers(0, len(names) - sure + 1))]:
        if isinstance(change, Made):
            there[change.name] = change.file
        else:
            there.pop(change.name, None)
    return {name: _survived(files[number], rng) for name, number in there.items()}


def size_of(event: Event) -> int:
    """Bytes at which power may go in `event`; what writes nothing counts as one."""
    return max(1, len(event.data)) if isinstance(event, Written) else 1


def _until(events: Sequence[Event], done: int, part: int) -> Iterator[Event]:
    yield from events[:done]
    if done < len(events) and part:
        event = events[done]
        if isinstance(event, Written):
            yield Written(event.file, event.offset, event.data[:part])


def _survived(content: _Content, rng: np.random.Generator) -> bytes:
    left = bytearray(content.kept)
    waiting = content.waiting
    in_order = bool(rng.random() < 0.5)
    reached = int(rng.integers(0, len(waiting) + 1))
    for i, event in enumerate(waiting):
        if not (i <= reached if in_order else rng.random() < 0.5):
            continue
        torn = i == reached if in_order else rng.random() < 0.2
        if torn and isinstance(event, Written):
            event = Written(event.file, event.offset, event.data[: int(rng.integers(0, len(event.data) + 1))])
        elif torn:
            continue
        _apply(left, event)
    return bytes(left)


def _apply(content: bytearray, event: Written | Truncated) -> None:
    if isinstance(event, Truncated):
        del content[event.size :]
        content.extend(bytes(event.size - len(content)))
        return
    if not event.data:
        return
    content.extend(bytes(max(0, event.offset - len(content))))
    content[event.offset : event.offset + len(event.data)] = event.data
