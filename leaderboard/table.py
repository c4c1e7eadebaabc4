"""Records as a Parquet table, one row each, and back: exact, bounded, nothing pickled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from pydantic import ValidationError

from tlbench.leaderboard import strictjson
from tlbench.leaderboard.parquet_footer import check_footer
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record, checksum
from tlbench.protocol.specs import canonical_json, first_error

MAX_CELL = 2**16
"""Most characters of one JSON cell (a configuration, diagnostics, provenance)."""

_STRUCTURED = ("method", "learner", "diagnostics", "provenance")


def _field(name: str, kind: Any, null: bool = False) -> Any:
    return pa.field(name, kind, nullable=null)


def _list(kind: Any, null: bool = False) -> Any:
    return pa.list_(_field("element", kind, null))


_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_EXPERT = pa.struct([_field("key", _TEXT), _field("task", _TEXT), _field("mean_return", _FLOAT)])

SCHEMA: Any = pa.schema(
    [
        _field("schema_version", _INT),
        _field("kind", _TEXT),
        _field("key", _TEXT),
        _field("suite", _TEXT),
        _field("digest", _TEXT),
        _field("submittable", _BOOL),
        _field("transfers", _list(_TEXT)),
        _field("sources", _list(_TEXT)),
        _field("target", _TEXT),
        _field("method", _TEXT, null=True),
        _field("learner", _TEXT, null=True),
        _field("config_hash", _TEXT),
        _field("ruleset", _TEXT),
        _field("seed", _INT),
        _field("expert_seed", _INT, null=True),
        _field("knowledge_key", _TEXT, null=True),
        _field("control_key", _TEXT, null=True),
        _field("experts", _list(_EXPERT)),
        _field("unit", _TEXT),
        _field("source_steps", _INT),
        _field("extraction_steps", _INT),
        _field("target_steps", _INT),
        _field("gradient_steps", _INT, null=True),
        _field("fractions", _list(_FLOAT)),
        _field("counts", _list(_INT)),
        _field("returns", _list(_list(_FLOAT))),
        _field("lengths", _list(_list(_INT))),
        _field("training_returns", _list(_FLOAT, null=True)),
        _field("training_episodes", _list(_INT)),
        _field("diagnostics", _TEXT),
        _field("abstained", _BOOL),
        _field("diverged", _BOOL),
        _field("provenance", _TEXT),
        _field("checksum", _TEXT),
    ]
)
"""Columns of ``records.parquet``: a record's fields, its steps and curve spread out, objects as JSON."""


def write_table(records: Sequence[Record]) -> bytes:
    """Records as Parquet; with one version of pyarrow equal records give equal bytes.

    It is neither compressed (the zip does that) nor dictionary-encoded, so that what it unpacks to is no larger than
    what was read.

    Raises:
        TlbenchError: If a record holds what the table can't (a number beyond 64 bits).
    """
    try:
        table = pa.Table.from_pylist([_row(record) for record in records], schema=SCHEMA)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise TlbenchError(f"these records can't be bundled: {strictjson.plain(error)}") from None
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="none", use_dictionary=False, store_schema=False, write_statistics=False)
    return bytes(out.getvalue().to_pybytes())


def read_table(data: bytes, verify: bool = True) -> list[Record]:
    """Records from Parquet, each held against its checksum unless told otherwise.

    Raises:
        TlbenchError: If it is damaged, too large, has other columns or types, or a row is no sound record.
    """
    try:
        rows = _rows(data)
    except TlbenchError:
        raise
    except Exception as error:  # a parser of strangers' bytes: Arrow errors, OSError, UnicodeDecodeError, ...
        raise TlbenchError(f"records.parquet is damaged: {strictjson.plain(error)}") from None
    return [_record(row, number, verify) for number, row in enumerate(rows, 1)]


def _rows(data: bytes) -> list[dict[str, Any]]:
    check_footer(data)
    file = pq.ParquetFile(
        pa.BufferReader(data), thrift_string_size_limit=2**16, thrift_container_size_limit=2**16, pre_buffer=False
    )
    if not file.schema_arrow.equals(SCHEMA):
        raise TlbenchError(f"records.parquet has other columns or types: {_difference(file.schema_arrow)}")
    table = file.read(use_threads=False)
    table.validate(full=True)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _difference(schema: Any) -> str:
    for name in SCHEMA.names:
        found = schema.get_all_field_indices(name)
        if len(found) != 1:
            return f"{name} is missing" if not found else f"{name} is there twice"
        if not schema.field(name).equals(SCHEMA.field(name)):
            return f"{name} is {strictjson.plain(schema.field(name).type, 80)}, expected {SCHEMA.field(name).type}"
    return "there are more than expected"


def _row(record: Record) -> dict[str, Any]:
    content = record.model_dump(mode="json")
    row: dict[str, Any] = {**content, "checksum": checksum(content)}
    steps, curve, training = row.pop("steps"), row.pop("curve"), row.pop("training")
    for name in _STRUCTURED:
        row[name] = None if row[name] is None else canonical_json(row[name])
    row |= {"unit": steps["unit"]} | {f"{name}_steps": steps[name] for name in ("source", "extraction", "target")}
    for column, name in (
        ("fractions", "fraction"),
        ("counts", "count"),
        ("returns", "returns"),
        ("lengths", "lengths"),
    ):
        row[column] = [point[name] for point in curve]
    return {**row, "training_returns": training["returns"], "training_episodes": training["episodes"]}


def _record(row: dict[str, Any], number: int, verify: bool = True) -> Record:
    origin = f"record {number}"
    content = dict(row)
    stated = content.pop("checksum")
    for name in _STRUCTURED:
        if content[name] is not None:
            content[name] = strictjson.load(content[name], f"{origin}'s {name}", MAX_CELL)
    columns = [content.pop(name) for name in ("fractions", "counts", "returns", "lengths")]
    if len({len(column) for column in columns}) != 1:
        raise TlbenchError(f"{origin} is not a valid record: its curve's columns differ in length")
    names = ("fraction", "count", "returns", "lengths")
    content["curve"] = [dict(zip(names, point, strict=True)) for point in zip(*columns, strict=True)]
    steps = {name: content.pop(f"{name}_steps") for name in ("source", "extraction", "target")}
    content["steps"] = {"unit": content.pop("unit"), **steps}
    content["training"] = {name: content.pop(f"training_{name}") for name in ("returns", "episodes")}
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        raise TlbenchError(f"{origin} is not a valid record: {strictjson.plain(first_error(error))}") from None
    if verify and checksum(record.model_dump(mode="json")) != stated:
        raise TlbenchError(f"{origin} was changed after it was written: its checksum is wrong")
    return record
