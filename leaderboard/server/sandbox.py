"""Runs the inspection of bundles: each in a fresh child, a few at a time, with limits."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tlbench.leaderboard import strictjson
from tlbench.leaderboard.archive import MAX_BUNDLE, MAX_MEMBER, METADATA
from tlbench.leaderboard.server.children import start_child
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.server.inspection import inspect
from tlbench.leaderboard.submission import Metadata, Submission, parse_metadata
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec

MEMORY = 2 * 2**30
"""Most bytes of memory of one inspection."""
SECONDS = 60
"""Most seconds of one inspection."""

_MOST_ANSWER = 4 * MAX_MEMBER[METADATA]
_LOG = logging.getLogger("tlbench.server")


@dataclass(frozen=True)
class Inspected(Submission):
    """A submission that was read, validated and packed anew elsewhere: its records stay in the bundle.

    Attributes:
        bundle: What a board keeps.
    """

    bundle: bytes = b""

    def to_bytes(self) -> bytes:
        """The bundle."""
        return self.bundle


class Sandbox:
    """Inspects bundles.

    Args:
        suites: The suites that are known.
        memory: Most bytes of memory of one inspection.
        seconds: Most seconds of one inspection.
    """

    def __init__(self, suites: Mapping[str, SuiteSpec], memory: int = MEMORY, seconds: float = SECONDS) -> None:
        self.slots = max(1, os.cpu_count() or 1)
        self._suites = [suite.model_dump_json() for suite in suites.values()]
        self._memory = memory
        self._seconds = seconds

    def inspect(self, path: Path) -> Inspected:
        """Read and validate a bundle.

        Args:
            path: Its file.

        Raises:
            Refused: If it is no submission that can be taken; the line says why.
        """
        child, ours = start_child(inspect, str(path), self._suites, self._memory, int(self._seconds) + 1)
        try:
            if not ours.poll(self._seconds):
                raise Refused(422, f"reading the bundle took more than {self._seconds:g} seconds")
            answer = strictjson.load(ours.recv_bytes(_MOST_ANSWER), "the answer", _MOST_ANSWER)
            if "refused" in answer:
                raise Refused(422, str(answer["refused"]))
            metadata = _metadata(answer["metadata"])
            return Inspected(metadata, (), bundle=ours.recv_bytes(MAX_BUNDLE))
        except (EOFError, OSError):
            _LOG.warning("an inspection ended early; the bundle was refused")
            raise Refused(422, "the bundle can't be read: it is damaged, or needs too much memory or time") from None
        finally:
            ours.close()
            child.kill()
            child.join()


def _metadata(text: object) -> Metadata:
    try:
        return parse_metadata(str(text).encode())
    except TlbenchError as error:  # read() took them, so this can't be
        raise Refused(422, str(error)) from None
