"""Mutates valid bundles: each is refused with one line, or accepted because it is still valid and can be ranked."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tests.leaderboard.conftest import small_suite, submission_of
from tlbench.analysis.bootstrap import Bootstrap
from tlbench.leaderboard import archive, table
from tlbench.leaderboard import submission as submissions
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.ranking import analyse
from tlbench.leaderboard.submission import records_digest
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record, checksum

SUITE = small_suite(seeds=2, extra="")
SUITES = {SUITE.id: SUITE}
FEW = Bootstrap(20)
FULL, FAST, PER_BOARD = 6000, 600, 300

ODD: list[Any] = [
    None, True, 0, -1, 1, 2**31, 2**63 - 1, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308, -1e308, 5e-324, float("nan"),
    float("inf"), "", " ", "\x00", "\ud800", "\u202e", "a" * 300, "a" * 70_000, "<script>alert(1)</script>", "../../x",
    "small-v1", "0" * 64, "{}", "[]", "NaN", "1e999", '{"a": 1, "a": 2}', "[" * 2000, "scratch-vpg", "spam-vpg", [], {},
    [1], [[1.0]], {"a": 1}, {"id": "x"}, {"__class__": "x"}, b"\xff",
]  # fmt: skip

Mutation = Callable[[random.Random, bytes], bytes]


def mangled(rng: random.Random, data: bytes) -> bytes:
    """Bytes flipped, cut out, doubled, inserted or exchanged."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 30])):
        if not out:
            break
        at = rng.randrange(len(out))
        length = min(rng.choice([1, 1, 4, 30, 300]), len(out) - at)
        how = rng.randrange(6)
        if how == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            out[at : at + length] = rng.randbytes(length)
        elif how == 2:
            del out[at : at + length]
        elif how == 3:
            out[at:at] = out[at : at + length]
        elif how == 4:
            out[at : at + length] = rng.choice([b"\0", b"\xff", b"\x7f"]) * length
        else:
            out = out[:at]
    return bytes(out)


def packed(members: dict[str, bytes]) -> bytes:
    return archive.pack(members)


def zip_bytes(rng: random.Random, data: bytes) -> bytes:
    return mangled(rng, data)


def zip_members(rng: random.Random, data: bytes) -> bytes:
    members = list(archive.unpack(data).items())
    members += [(rng.choice(["x", "../x", "/x", "submission.json", "a/", "records.parquet", "x\0y"]), b"{}")]
    rng.shuffle(members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])) as file:
        for name, content in members[: rng.choice([1, 2, 2, 3])]:
            info = zipfile.ZipInfo(name)
            info.external_attr = rng.choice([0, 0o100644 << 16, 0o120777 << 16, 0o40755 << 16])
            file.writestr(info, content)
    return out.getvalue()


def json_bytes(rng: random.Random, data: bytes) -> bytes:
    members = archive.unpack(data)
    return packed({**members, "submission.json": mangled(rng, members["submission.json"])})


def json_values(rng: random.Random, data: bytes) -> bytes:
    """A value, key or place of the metadata is changed."""
    members = archive.unpack(data)
    content = json.loads(members["submission.json"])
    for _ in range(rng.choice([1, 1, 2])):
        content = changed_value(rng, content)
    text = json.dumps(content, default=lambda b: b.decode("latin-1"))
    if rng.random() < 0.1:
        text = text.replace("{", '{"seeds": 2, ', 1)  # a key twice
    return packed({**members, "submission.json": text.encode("utf-8", "surrogatepass")})


def changed_value(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        how = rng.random()
        if how < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if how < 0.15:
            return {**value, str(rng.choice(ODD))[:100]: 1}
        return {**value, key: changed_value(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], changed_value(rng, value[at]), *value[at + 1 :]]
    return rng.choice(ODD)


def parquet_bytes(rng: random.Random, data: bytes) -> bytes:
    members = archive.unpack(data)
    return packed({**members, "records.parquet": mangled(rng, members["records.parquet"])})


def parquet_footer(rng: random.Random, data: bytes) -> bytes:
    """Only the footer, where sizes, offsets and types are."""
    members = archive.unpack(data)
    content = members["records.parquet"]
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        out[rng.randrange(start, len(out))] = rng.randrange(256)
    return packed({**members, "records.parquet": bytes(out)})


def parquet_columns(rng: random.Random, data: bytes) -> bytes:
    """Columns dropped, doubled, renamed, cast; rows dropped, doubled, exchanged."""
    members = archive.unpack(data)
    found = pq.read_table(pa.BufferReader(members["records.parquet"]))
    name = rng.choice(found.column_names)
    at = found.column_names.index(name)
    how = rng.randrange(7)
    if how == 0:
        found = found.drop_columns([name])
    elif how == 1:
        found = found.append_column(name, found[name])
    elif how == 2:
        found = found.rename_columns([n if n != name else "other" for n in found.column_names])
    elif how == 3:
        kind = rng.choice([pa.string(), pa.float32(), pa.int32(), pa.large_string(), pa.binary(), pa.bool_()])
        values = [None if v is None or kind == pa.bool_() else v for v in found[name].to_pylist()]
        try:
            found = found.set_column(at, name, pa.array(values, kind))
        except (pa.ArrowException, TypeError):
            found = found.set_column(at, name, pa.nulls(len(found), kind))
    elif how == 4:
        rows = rng.choices(range(len(found)), k=rng.choice([0, 1, len(found), len(found) + 1]))
        found = found.take(pa.array(rows, pa.int64()))
    elif how == 5:
        other = rng.choice(found.column_names)
        found = found.set_column(at, name, found[other])
    else:
        rows = list(range(len(found)))
        rng.shuffle(rows)
        found = found.set_column(at, name, found[name].take(pa.array(rows)))
    out = pa.BufferOutputStream()
    compression = rng.choice(["none", "none", "none", "snappy", "zstd"])
    dictionary = rng.random() < 0.1
    statistics, schema = rng.random() < 0.1, rng.random() < 0.1
    options = {"use_dictionary": dictionary, "store_schema": schema, "write_statistics": statistics}
    pq.write_table(found, out, compression=compression, **options)
    return packed({**members, "records.parquet": out.getvalue().to_pybytes()})


def parquet_cells(rng: random.Random, data: bytes) -> bytes:
    """Cells changed and everything sealed again, as a forger would: checksums, digest and counts fit."""
    members = archive.unpack(data)
    rows = pq.read_table(pa.BufferReader(members["records.parquet"])).to_pylist()
    for _ in range(rng.choice([1, 1, 1, 3])):
        row = rng.choice(rows)
        name = rng.choice(list(row))
        row[name] = changed_cell(rng, row[name], [r[name] for r in rows])
    if rng.random() < 0.1:
        rows.append(dict(rng.choice(rows)))
    if rng.random() < 0.1:
        rows.pop(rng.randrange(len(rows)))
    for row in rows:
        reseal(row)
    try:
        out = pa.BufferOutputStream()
        found = pa.Table.from_pylist(rows, schema=table.SCHEMA)
        pq.write_table(found, out, compression="none", use_dictionary=False, store_schema=False, write_statistics=False)
        content = out.getvalue().to_pybytes()
    except (pa.ArrowException, OverflowError, TypeError, ValueError):  # the format itself can't hold it
        return parquet_bytes(rng, data)
    metadata = json.loads(members["submission.json"])
    try:
        records = table.read_table(content)
        metadata["records_digest"] = records_digest(records)
        if rng.random() < 0.5:
            reseal_metadata(metadata, records)
    except (TlbenchError, IndexError, ValidationError):
        pass
    return packed({"submission.json": json.dumps(metadata).encode(), "records.parquet": content})


def changed_cell(rng: random.Random, value: Any, others: list[Any]) -> Any:
    if rng.random() < 0.3:
        return rng.choice(others)
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        how = rng.random()
        if how < 0.1:
            return value[:at]
        if how < 0.2:
            return [*value, value[at]]
        return [*value[:at], changed_cell(rng, value[at], value), *value[at + 1 :]]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([value + 1, value - 1, -value, 0, 2**62, 10**12])
    if isinstance(value, float):
        return rng.choice([value + 1, -value, value * 1.0000001, 1e300, float("nan"), float("inf"), 1e13, 0.0])
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(changed_value(rng, json.loads(value)), default=str)
    return rng.choice([v for v in ODD if isinstance(v, str | None)])


def reseal(row: dict[str, Any]) -> None:
    """A checksum that fits what is now stated, where it still makes a record."""
    try:
        record = table._record({**row, "checksum": row["checksum"]}, 1)
    except TlbenchError as error:
        if "checksum is wrong" not in str(error):
            return
    except (TypeError, KeyError, AttributeError):
        return
    else:
        row["checksum"] = checksum(record.model_dump(mode="json"))
        return
    original, found = table.checksum, []

    def note(content: Any) -> str:
        found.append(original(content))
        return found[-1]

    table.checksum = note  # type: ignore[assignment]
    try:
        table._record(dict(row), 1)
    except TlbenchError:
        row["checksum"] = found[-1]
    finally:
        table.checksum = original


def reseal_metadata(metadata: dict[str, Any], records: list[Record]) -> None:
    """Metadata that follow from the records again."""
    runs = [r for r in records if r.kind == "run" and r.method and r.method.id == metadata["method"]]
    listed = submissions.configurations(runs)
    metadata["configurations"] = [c.model_dump(mode="json") for c in listed]
    metadata["version"] = runs[0].method.version if runs[0].method else ""
    metadata["learner"] = runs[0].learner.id if runs[0].learner else None
    draft = submissions.Submission(submissions.parse_metadata(json.dumps(metadata).encode()), tuple(records))
    counted = {"method": len(draft.runs()), "control": len(draft.controls()), "expert": len(draft.experts())}
    metadata["records"] = counted


MUTATIONS: dict[Mutation, float] = {
    zip_bytes: 0.15,
    zip_members: 0.05,
    json_bytes: 0.1,
    json_values: 0.15,
    parquet_bytes: 0.15,
    parquet_footer: 0.1,
    parquet_columns: 0.1,
    parquet_cells: 0.2,
}


@pytest.mark.parametrize("count", [FAST, pytest.param(FULL, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_mutated_bundles_are_refused_or_valid(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("os.fsync", lambda _: None)  # durability has a test of its own, and disks may be slow
    seeds = [submission_of(SUITE, m).to_bytes() for m in ("spam-vpg", "random")]
    rng = random.Random(f"fuzz {count}")
    met: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    for number in range(count):
        board = Board(tmp_path / "boards" / str(number // PER_BOARD))
        mutation = rng.choices(list(MUTATIONS), list(MUTATIONS.values()))[0]
        data = mutation(rng, rng.choice(seeds))
        try:
            added = board.add(data, SUITES)
        except TlbenchError as error:
            message = str(error)
            assert message.isprintable(), (number, message)
            assert 10 < len(message) < 700, (number, message)
            met[mutation.__name__, "refused"] += 1
            reasons[message[:25]] += 1
            continue
        met[mutation.__name__, "accepted"] += 1
        submission = board.submission(added.entry)
        assert submission.id == added.entry.id
        standing = analyse(SUITE, added.entry, submission, None, FEW)
        assert -100 <= standing.score <= 120
    accepted = sum(n for (_, outcome), n in met.items() if outcome == "accepted")
    print(f"{count} mutations: {accepted} accepted as still valid, {count - accepted} refused: {dict(met)}")
    assert len(reasons) >= 30  # the mutations reach every layer
    assert all(met[m.__name__, "refused"] for m in MUTATIONS)
    assert met["parquet_cells", "accepted"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["boards", "elsewhere"]
    assert not list((tmp_path / "elsewhere").iterdir())
    for folder in (tmp_path / "boards").iterdir():
        names = {p.relative_to(folder).parts[0] for p in folder.rglob("*")}
        assert names <= {"index.json", "submissions", ".lock"}
        kept = {p.name for p in (folder / "submissions").rglob("*") if p.is_file()}
        assert kept <= {"bundle.zip", "accepted.json"}
        assert len(Board(folder).entries()) == Board(folder).rebuild()
