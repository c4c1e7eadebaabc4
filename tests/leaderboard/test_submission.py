from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.leaderboard.conftest import small_suite, submission_of
from tlbench.leaderboard import archive, strictjson, table
from tlbench.leaderboard import submission as submissions
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import to_json


def parts(data: bytes) -> dict[str, bytes]:
    return archive.unpack(data)


def zipped(members: list[tuple[str | zipfile.ZipInfo, bytes]], **options: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as file:
        for name, content in members:
            file.writestr(name, content)
    return out.getvalue()


def with_table(spam: Submission, change: Any) -> bytes:
    """The bundle with another Parquet table."""
    members = parts(spam.to_bytes())
    out = pa.BufferOutputStream()
    found = pq.read_table(pa.BufferReader(members["records.parquet"]))
    pq.write_table(
        change(found), out, compression="none", use_dictionary=False, store_schema=False, write_statistics=False
    )
    return archive.pack({**members, "records.parquet": out.getvalue().to_pybytes()})


def test_round_trip_is_exact(spam: Submission) -> None:
    read = submissions.read(spam.to_bytes())
    assert read.metadata == spam.metadata
    assert read.records == spam.records
    assert [to_json(r) for r in read.records] == [to_json(r) for r in spam.records]
    assert read.id == spam.id


def test_equal_records_give_equal_bytes_and_id(spam: Submission) -> None:
    again = submission_of(small_suite())
    assert again.to_bytes() == spam.to_bytes()
    assert again.id == spam.id
    assert submission_of(small_suite(), name="Other").id != spam.id


def test_the_id_does_not_depend_on_the_packing(spam: Submission) -> None:
    members = parts(spam.to_bytes())
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as file:
        for name in reversed(list(members)):
            file.writestr(name, members[name])
    read = submissions.read(stored.getvalue())
    assert read.id == spam.id
    assert read.to_bytes() == spam.to_bytes()


def test_there_is_no_score_in_a_submission(spam: Submission) -> None:
    text = spam.metadata_text()
    assert not any(word in text for word in ("score", "gain", "auc"))
    changed = json.loads(text) | {"score": 100.0}
    members = parts(spam.to_bytes()) | {"submission.json": json.dumps(changed).encode()}
    with pytest.raises(TlbenchError, match="score: Extra inputs"):
        submissions.read(archive.pack(members))


class TestArchive:
    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["submission.json"], "lacks records.parquet"),
            (["submission.json", "records.parquet", "run.py"], "unexpected member 'run.py'"),
            (["submission.json", "records.parquet", "../../etc/passwd"], "path that leads elsewhere"),
            (["submission.json", "records.parquet", "/etc/passwd"], "path that leads elsewhere"),
            (["submission.json", "records.parquet", "C:\\x"], "path that leads elsewhere"),
            (["submission.json", "records.parquet", "data/"], "unexpected member"),
        ],
    )
    def test_only_the_two_members(self, names: list[str], message: str) -> None:
        with pytest.raises(TlbenchError, match=message):
            archive.unpack(zipped([(name, b"{}") for name in names]))

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_a_member_twice(self) -> None:
        data = zipped([("submission.json", b"{}"), ("submission.json", b"[]"), ("records.parquet", b"")])
        with pytest.raises(TlbenchError, match=r"holds submission.json twice"):
            archive.unpack(data)

    def test_a_symlink(self) -> None:
        info = zipfile.ZipInfo("records.parquet")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        with pytest.raises(TlbenchError, match="no plain file"):
            archive.unpack(zipped([("submission.json", b"{}"), (info, b"/etc/passwd")]))

    def test_a_zip_bomb_by_its_stated_size(self) -> None:
        bomb = zipped([("submission.json", b" " * (2 * 2**20)), ("records.parquet", b"")])
        assert len(bomb) < 10_000
        with pytest.raises(TlbenchError, match="too large"):
            archive.unpack(bomb)

    def test_a_zip_bomb_that_lies_about_its_size(self) -> None:
        bomb = bytearray(zipped([("submission.json", b" " * (2 * 2**20)), ("records.parquet", b"")]))
        for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            struct.pack_into("<L", bomb, bomb.index(signature) + offset, 10)
        with pytest.raises(TlbenchError, match=r"too large|not a sound zip"):
            archive.unpack(bytes(bomb))

    def test_too_large_before_anything_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archive, "MAX_BUNDLE", 100)
        with pytest.raises(TlbenchError, match="too large: 101 bytes, at most 100"):
            archive.unpack(b"x" * 101)

    @pytest.mark.parametrize("data", [b"", b"PK", b"hello", b"PK\x05\x06" + b"\0" * 18 + b"more"])
    def test_no_zip(self, data: bytes) -> None:
        with pytest.raises(TlbenchError, match="not a sound zip"):
            archive.unpack(data)

    def test_a_directory_of_many_members(self) -> None:
        with pytest.raises(TlbenchError, match="unexpected members: 200"):
            archive.unpack(zipped([(f"m{i}", b"") for i in range(200)]))

    def test_zip64_and_encryption(self, spam: Submission) -> None:
        data = bytearray(spam.to_bytes())
        with pytest.raises(TlbenchError, match="zip64"):
            archive.unpack(bytes(data[:-22]) + b"PK\x06\x07" + b"\0" * 16 + bytes(data[-22:]))
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(signature) + offset] |= 1
        with pytest.raises(TlbenchError, match="encrypted"):
            archive.unpack(bytes(data))


class TestStrictJson:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"a": 1, "a": 2}', "'a' appears twice"),
            ('{"b": {"a": 1, "a": 1}}', "appears twice"),
            ('{"a": NaN}', "NaN is not a finite number"),
            ('{"a": -Infinity}', "Infinity is not a finite number"),
            ('{"a": 1e999}', "not a finite number"),
            ('{"a": ' + "9" * 5000 + "}", "too large a number"),
            ('{"a": 9223372036854775808}', "too large a number"),
            ("[" * 40 + "]" * 40, "nested too deeply"),
            ("[" * 100_000, "nested too deeply|not valid JSON"),
            ('{"a": "\\ud800"}', "half a character"),
            (b'{"a": "\xff"}', "not valid JSON"),
            ("{", "not valid JSON"),
            ('{"a": "' + "x" * 200_000 + '"}', "too large"),
        ],
    )
    def test_refused(self, text: str | bytes, message: str) -> None:
        with pytest.raises(TlbenchError, match=message) as error:
            strictjson.load(text, "it", 150_000)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300

    def test_fine(self) -> None:
        assert strictjson.load('{"a": [1, 2.5, null, "\\u00e9"]}', "it", 100) == {"a": [1, 2.5, None, "é"]}


class TestMetadata:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": ""}, "name"),
            ({"name": "two\nlines"}, "one line"),
            ({"name": "\u202egnol"}, "invisible"),
            ({"name": "x" * 201}, "at most 200"),
            ({"name": 3}, "valid string"),
            ({"url": "javascript:alert(1)"}, "link"),
            ({"url": 'https://x.org/"onclick=1'}, "link"),
            ({"seeds": "8"}, "valid integer"),
            ({"seeds": True}, "valid integer"),
            ({"seeds": 8.0}, "valid integer"),
            ({"ruleset": "mine"}, "fixed"),
            ({"method": "<b>"}, "pattern"),
            ({"schema_version": 2}, "Input should be 1"),
            ({"configurations": []}, "at least 1"),
            ({"unknown": 1}, "Extra"),
        ],
    )
    def test_refused(self, spam: Submission, change: dict[str, Any], message: str) -> None:
        content = json.loads(spam.metadata_text()) | change
        with pytest.raises(TlbenchError, match=message):
            submissions.parse_metadata(json.dumps(content).encode())

    def test_markup_is_text_like_any_other(self, suite: Any) -> None:
        found = submission_of(suite, name="<script>alert('&')</script>")
        assert submissions.read(found.to_bytes()).metadata.name == "<script>alert('&')</script>"


class TestTable:
    def test_other_columns_and_types(self, spam: Submission) -> None:
        for change, message in (
            (lambda t: t.drop_columns(["seed"]), "seed is missing"),
            (lambda t: t.append_column("score", pa.array([1.0] * len(t))), "more than expected"),
            (lambda t: t.set_column(t.schema.get_field_index("seed"), "seed", t["seed"].cast("float64")), "seed is"),
        ):
            with pytest.raises(TlbenchError, match=message):
                submissions.read(with_table(spam, change))

    def test_too_many_rows(self, spam: Submission) -> None:
        with pytest.raises(TlbenchError, match=r"too large: 1,\d\d\d,\d\d\d rows"):
            submissions.read(archive.pack(parts(spam.to_bytes()) | {"records.parquet": million_rows()}))

    def test_compressed(self, spam: Submission) -> None:
        members = parts(spam.to_bytes())
        out = pa.BufferOutputStream()
        found = pq.read_table(pa.BufferReader(members["records.parquet"]))
        pq.write_table(
            found, out, compression="snappy", use_dictionary=False, store_schema=False, write_statistics=False
        )
        with pytest.raises(TlbenchError, match="unusual way"):
            submissions.read(archive.pack({**members, "records.parquet": out.getvalue().to_pybytes()}))

    def test_not_finite(self, spam: Submission) -> None:
        def change(found: pa.Table) -> pa.Table:
            rows = found.to_pylist()
            rows[0]["returns"][1][0] = float("nan")
            return pa.Table.from_pylist(rows, schema=table.SCHEMA)

        with pytest.raises(TlbenchError, match=r"record 1 .*finite number"):
            submissions.read(with_table(spam, change))

    def test_tampered(self, spam: Submission) -> None:
        def better(found: pa.Table) -> pa.Table:
            rows = found.to_pylist()
            rows[0]["returns"][1][0] += 1
            return pa.Table.from_pylist(rows, schema=table.SCHEMA)

        def elsewhere(found: pa.Table) -> pa.Table:  # provenance is not in a record's own checksum
            rows = found.to_pylist()
            rows[0]["provenance"] = "{}"
            return pa.Table.from_pylist(rows, schema=table.SCHEMA)

        with pytest.raises(TlbenchError, match="changed after it was written: its checksum"):
            submissions.read(with_table(spam, better))
        with pytest.raises(TlbenchError, match="changed after they were bundled"):
            submissions.read(with_table(spam, elsewhere))

    def test_metadata_of_its_own(self, spam: Submission) -> None:
        members = parts(spam.to_bytes())
        out = pa.BufferOutputStream()
        found = pq.read_table(pa.BufferReader(members["records.parquet"])).replace_schema_metadata({"pickle": "x"})
        pq.write_table(found, out, compression="none", use_dictionary=False)
        with pytest.raises(TlbenchError, match="metadata of its own"):
            submissions.read(archive.pack({**members, "records.parquet": out.getvalue().to_pybytes()}))

    def test_no_parquet(self, spam: Submission) -> None:
        for junk in (b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1"):
            with pytest.raises(TlbenchError, match=r"records.parquet is damaged"):
                submissions.read(archive.pack(parts(spam.to_bytes()) | {"records.parquet": junk}))


def million_rows() -> bytes:
    out = pa.BufferOutputStream()
    found = pa.table({"seed": pa.array(range(1_000_001), pa.int64())})
    pq.write_table(found, out, compression="none", store_schema=False)
    return bytes(out.getvalue().to_pybytes())
