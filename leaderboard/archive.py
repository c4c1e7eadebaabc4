"""The zip of a submission: written deterministically, read with hard limits. Nothing is ever unpacked to disk."""

from __future__ import annotations

import io
import stat
import struct
import zipfile

from tlbench.leaderboard.strictjson import plain
from tlbench.protocol.errors import TlbenchError

METADATA, TABLE = "submission.json", "records.parquet"
MAX_BUNDLE = 32 * 2**20
"""Most bytes of a bundle."""
MAX_MEMBER = {METADATA: 2**20, TABLE: 64 * 2**20}
"""Most bytes of each member, unpacked."""

_TIME = (1980, 1, 1, 0, 0, 0)
_END = struct.Struct("<4s4H2LH")
_ZIP64 = b"PK\x06\x07"
_MAX_ENTRIES = 16
_MAX_DIRECTORY = 2**16


def pack(members: dict[str, bytes]) -> bytes:
    """A zip of the two members; equal members give equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in (METADATA, TABLE):
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, members[name])
    return out.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of a submission's zip, by name.

    Args:
        data: The zip, from anywhere.

    Raises:
        TlbenchError: If it is too large, no sound zip, or holds anything but the two members as plain files.
    """
    if len(data) > MAX_BUNDLE:
        raise TlbenchError(f"the bundle is too large: {len(data):,} bytes, at most {MAX_BUNDLE:,} are allowed")
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_members(infos)
            return {info.filename: _read(archive, info) for info in infos}
    except TlbenchError:
        raise
    except Exception as error:  # zipfile raises what it likes on damaged input
        raise TlbenchError(f"the bundle is not a sound zip: {plain(error)}") from None


def _check_directory(data: bytes) -> None:
    """Refuse what would make zipfile work long: only a plain, short directory at the very end is read."""
    if len(data) < _END.size or data[-_END.size :][:4] != b"PK\x05\x06":
        raise TlbenchError("the bundle is not a sound zip: it is no zip, is truncated, or has something after its end")
    _, disk, start, here, entries, size, _, _ = _END.unpack(data[-_END.size :])
    if disk or start or here != entries or data[-_END.size - 20 :][:4] == _ZIP64:
        raise TlbenchError("the bundle is not a sound zip: split and zip64 archives are not taken")
    if entries > _MAX_ENTRIES or size > _MAX_DIRECTORY:
        raise TlbenchError(f"the bundle holds unexpected members: {entries} in all, 2 expected")


def _check_members(infos: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in infos]
    for info in infos:
        name = info.filename
        if name.startswith(("/", "\\")) or ".." in name or "\\" in name or ":" in name:
            raise TlbenchError(f"the bundle's member {name[:80]!a} has a path that leads elsewhere")
        if name not in MAX_MEMBER:
            raise TlbenchError(f"the bundle holds an unexpected member {name[:80]!a}; only {METADATA} and {TABLE}")
        if names.count(name) > 1:
            raise TlbenchError(f"the bundle holds {name} twice")
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            raise TlbenchError(f"the bundle's member {name} is no plain file (a link or a folder)")
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise TlbenchError(f"the bundle's member {name} is encrypted or compressed in an unusual way")
        if info.file_size > MAX_MEMBER[name]:
            raise TlbenchError(f"the bundle's {name} is too large: {info.file_size:,} bytes unpacked")
    for name in MAX_MEMBER:
        if name not in names:
            raise TlbenchError(f"the bundle lacks {name}")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """One member; its stated size is not believed."""
    limit = MAX_MEMBER[info.filename]
    with archive.open(info) as member:
        content = member.read(limit + 1)
    if len(content) > limit:
        raise TlbenchError(f"the bundle's {info.filename} is too large: more than {limit:,} bytes unpacked")
    return content
