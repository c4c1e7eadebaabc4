"""Sends submissions and verifications to a leaderboard's server.

What a server answers is a stranger's: it is read up to a limit, and shown as one printable line. Sending the same thing
again changes nothing, so a request that got no answer is repeated.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from tlbench.leaderboard import strictjson
from tlbench.leaderboard.verification import Verification
from tlbench.protocol.errors import TlbenchError

VARIABLE = "TLBENCH_TOKEN"
"""The environment variable that holds the token."""

_TRIES = 5
_TIMEOUT = 180.0
"""Seconds of silence; a server may take its time to check a bundle."""
_ANSWER_SECONDS = 60.0
_MOST_ANSWER = 2**16
_MOST_WAIT = 60.0
_PASSING = {408, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Sent:
    """What a server did with what was sent.

    Attributes:
        new: Whether it was new to it.
        url: Where it is described.
        snapshot: Digest of the leaderboard's state right after it was accepted; verifications have none.
    """

    new: bool
    url: str
    snapshot: str | None


def read_token(file: Path | None) -> str:
    """The token from a file, or from ``TLBENCH_TOKEN``.

    Raises:
        TlbenchError: If there is none.
    """
    if file is not None:
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TlbenchError(f"the token in {file} can't be read: {strictjson.plain(error)}") from None
    else:
        token = os.environ.get(VARIABLE, "").strip()
    if not token:
        raise TlbenchError(f"a token is needed: put it into the variable {VARIABLE}, or into a file for --token-file")
    if not token.isascii() or not token.isprintable() or len(token) > 200 or " " in token:
        raise TlbenchError("the token is not valid: it looks like tlb_..._...")
    return token


class Client:
    """A leaderboard's server.

    Args:
        url: Its address; ``https://``, unless it is this machine.
        token: The token.
        sleep: Waits so many seconds.

    Raises:
        TlbenchError: If the address is not possible.
    """

    def __init__(self, url: str, token: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._base = _checked(url)
        self._token = token
        self._sleep = sleep
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send_submission(self, submission: str, bundle: bytes) -> Sent:
        """Send a bundle.

        Args:
            submission: The submission's id.
            bundle: The bundle.

        Raises:
            TlbenchError: If the server can't be reached or refuses.
        """
        status, answer = self._post("submissions", bundle, "application/zip")
        if answer.get("id") != submission:
            raise TlbenchError(f"{self._base} answers for another submission: is it a leaderboard of tlbench?")
        return Sent(status == 201, self._url(answer), _text(answer.get("snapshot")))

    def send_verification(self, document: Verification) -> Sent:
        """Send a verification of a submission that the server has.

        Raises:
            TlbenchError: If the server can't be reached or refuses.
        """
        path = f"submissions/{document.submission}/verifications"
        status, answer = self._post(path, document.to_bytes(), "application/json")
        if answer.get("digest") != document.digest:
            raise TlbenchError(f"{self._base} answers for another verification: is it a leaderboard of tlbench?")
        return Sent(status == 201, self._url(answer), None)

    def _post(self, path: str, data: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        for attempt in range(1, _TRIES + 1):
            try:
                return self._try(path, data, kind)
            except _PassingError as error:
                if attempt == _TRIES:
                    raise TlbenchError(f"{error}; tried {_TRIES} times, sending it again later does no harm") from None
                pause = error.wait if error.wait is not None else 2.0 ** (attempt - 2) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads clients, no secret
                self._sleep(min(pause, _MOST_WAIT))
        raise AssertionError

    def _try(self, path: str, data: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": kind,
            "Accept": "application/json",
            "User-Agent": f"tlbench/{version('tlbench')}",
        }
        request = urllib.request.Request(f"{self._base}/api/v1/{path}", data, headers, method="POST")  # noqa: S310 - checked above
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                return response.status, _parsed(_limited(response), self._base)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except urllib.error.URLError as error:
            raise _unreachable(self._base, error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self._base, error) from None

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        if 300 <= error.code < 400:
            return TlbenchError(f"{self._base} redirects, and the token goes nowhere else: give the address itself")
        try:
            reason = _text(_parsed(_limited(error), self._base).get("error")) or "no reason given"
        except (TlbenchError, OSError, http.client.HTTPException):
            reason = "no reason given"
        line = f"{self._base} refused it ({error.code}): {reason}"
        if error.code not in _PASSING:
            return TlbenchError(line)
        after = error.headers.get("Retry-After", "")
        return _PassingError(line, float(after) if after.isascii() and after.isdecimal() and len(after) < 6 else None)

    def _url(self, answer: dict[str, Any]) -> str:
        """Where the answer says that it is described, on the same server."""
        path = _text(answer.get("url")) or "/"
        return self._base + (path if path.startswith("/") and " " not in path else "/")


class _PassingError(Exception):
    """Something that may be over soon; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, line: str, wait: float | None = None) -> None:
        super().__init__(line)
        self.wait = wait


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token goes to the address that was given and to no other."""

    def redirect_request(self, *_: Any) -> None:
        """None: the redirect is an error."""


def _checked(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urllib.parse.urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise TlbenchError("--to is no address of a leaderboard: it looks like https://leaderboard.example.org")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise TlbenchError("--to holds more than an address: no names, passwords, queries; the token has its own place")
    if parts.scheme == "http" and not _is_loopback(host):
        raise TlbenchError(f"http://{host} would send the token unencrypted: use https://")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _limited(response: IO[bytes]) -> bytes:
    """An answer's body; a server that never ends is not waited for."""
    end, found = time.monotonic() + _ANSWER_SECONDS, bytearray()
    while len(found) <= _MOST_ANSWER and time.monotonic() < end:
        piece = response.read1(_MOST_ANSWER + 1 - len(found))  # type: ignore[attr-defined]
        if not piece:
            return bytes(found)
        found += piece
    raise TlbenchError("the server's answer has no end: is it a leaderboard of tlbench?")


def _parsed(text: bytes, base: str) -> dict[str, Any]:
    try:
        found = strictjson.load(text, "the answer", _MOST_ANSWER)
    except TlbenchError:
        found = None
    if not isinstance(found, dict):
        raise TlbenchError(f"{base} does not answer like a leaderboard of tlbench: is the address right?")
    return found


def _text(value: object) -> str | None:
    return strictjson.plain(value, 700) if isinstance(value, str) and value else None


def _unreachable(base: str, reason: object) -> Exception:
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
    line = f"can't reach {base}: {strictjson.plain(text)}"
    import ssl

    return TlbenchError(line) if isinstance(reason, ssl.SSLCertVerificationError) else _PassingError(line)
