"""Reads a Parquet file's footer (Thrift's compact protocol) in Python and holds it against what a bundle may be.

Arrow's reader is made for damaged files, its Python view of the footer is not: an impossible codec or encoding there
ends the process. So the footer is checked here first, and pyarrow only meets files that are uncompressed, plainly
encoded, without dictionaries, encryption or references to other files, and small in every stated number.
"""

from __future__ import annotations

from typing import Any

from tlbench.protocol.errors import TlbenchError

MAX_ROWS = 20_000
MAX_VALUES = 8_000_000
MAX_ROW_GROUPS = 16

_MAGIC = b"PAR1"
_MAX_FOOTER = 2**18
_MAX_ITEMS = 20_000
_MAX_DEPTH = 12
_PLAIN_ENCODINGS = {0, 3, 4}
"""PLAIN, RLE and BIT_PACKED (the latter two for levels)."""
_FILE = {1, 2, 3, 4, 6, 7}
_ROW_GROUP = {1, 2, 3, 5, 6, 7}
_CHUNK = {2, 3}
_COLUMN = {1, 2, 3, 4, 5, 6, 7, 9, 13, 16}
"""Fields that the footer's structures may have; others are statistics, dictionaries, indexes and encryption."""


class _DamagedError(Exception):
    pass


def check_footer(data: bytes) -> None:
    """Check the footer of ``records.parquet``.

    Raises:
        TlbenchError: If it is damaged, too large, or of a kind that a bundle's is not.
    """
    try:
        _check(data)
    except (_DamagedError, IndexError, TypeError, KeyError) as error:
        raise TlbenchError(f"records.parquet is damaged: its footer can't be read ({error})") from None


def _check(data: bytes) -> None:
    size = int.from_bytes(data[-8:-4], "little")
    if len(data) < 12 or data[:4] != _MAGIC or data[-4:] != _MAGIC or not 0 < size <= min(len(data) - 12, _MAX_FOOTER):
        raise _DamagedError("it has no footer")
    reader = _Compact(data[-8 - size : -8])
    file = reader.struct(0)
    groups = file[4]
    if file[3] > MAX_ROWS or len(groups) > MAX_ROW_GROUPS:
        raise TlbenchError(f"records.parquet is too large: {file[3]:,} rows, at most {MAX_ROWS:,} are allowed")
    if 5 in file:
        raise TlbenchError("records.parquet carries metadata of its own, which a submission has no use for")
    if reader.left or file[3] < 0 or not _only(file, _FILE) or not all(_only(group, _ROW_GROUP) for group in groups):
        raise _DamagedError("it has unknown parts")
    if sum(group[3] for group in groups) != file[3] or any(group[3] < 0 for group in groups):
        raise _DamagedError("its rows don't add up")
    values = 0
    for group in groups:
        for chunk in group[1]:
            values += _check_column(chunk, len(data) - 8 - size)
    if values > MAX_VALUES:
        raise TlbenchError(f"records.parquet is too large: {values:,} values, at most {MAX_VALUES:,} are allowed")


def _check_column(chunk: dict[int, Any], end: int) -> int:
    column = chunk[3]
    if column[4] != 0 or not set(column[2]) <= _PLAIN_ENCODINGS or not _only(chunk, _CHUNK):
        raise TlbenchError("records.parquet is compressed or encoded in an unusual way")
    if not _only(column, _COLUMN):
        raise TlbenchError("records.parquet is compressed or encoded in an unusual way: statistics, dictionaries, ...")
    values, size, stored, offset = column[5], column[6], column[7], column[9]
    if values < 0 or size != stored or not 4 <= offset <= offset + size <= end:
        raise _DamagedError("a column lies outside the file")
    return int(values)


def _only(struct: dict[int, Any], known: set[int]) -> bool:
    return set(struct) <= known


class _Compact:
    """A reader of Thrift's compact protocol: structures as dictionaries from field number to value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._items = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise _DamagedError("it is nested too deeply")
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            if field in found:
                raise _DamagedError("a field is there twice")
            found[field] = self._value(head & 15, depth, inline=True)
        return found

    def _value(self, kind: int, depth: int, inline: bool = False) -> Any:
        self._items += 1
        if self._items > _MAX_ITEMS:
            raise _DamagedError("it holds too much")
        if kind in (1, 2):  # a boolean field is its type; in a list it is a byte
            return kind == 1 if inline else self._byte() == 1
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (9, 10):
            return self._list(depth)
        if kind == 12:
            return self.struct(depth + 1)
        if kind not in (3, 7, 8):
            raise _DamagedError(f"type {kind} is unknown")
        return self._take({3: 1, 7: 8}.get(kind) or self._varint())

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = self._varint() if head >> 4 == 15 else head >> 4
        if size > min(_MAX_ITEMS, self.left):
            raise _DamagedError("a list is longer than the file")
        return [self._value(head & 15, depth + 1) for _ in range(size)]

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise _DamagedError("a number has too many digits")

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        if size > self.left:
            raise _DamagedError("it is truncated")
        self._at += size
        return self._data[self._at - size : self._at]
