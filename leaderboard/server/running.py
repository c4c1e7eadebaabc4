"""Runs the server on a port."""

from __future__ import annotations

import ipaddress
import logging.config
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout

from tlbench.leaderboard.server.armour import Punctual
from tlbench.protocol.errors import StorageError, TlbenchError

_CONNECTIONS = 500
_HEAD_BYTES = 16 * 1024
_GRACE_SECONDS = 20
_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "tlbench.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}


def log_to_stderr() -> None:
    """Write what a maintainer must know to standard error; no addresses of people are in it."""
    logging.config.dictConfig(_LOGGING)


def listen(host: str, port: int) -> socket.socket:
    """A socket on a port (0: any that is free).

    Raises:
        TlbenchError: If the address can't be used.
    """
    found = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen()  # whoever comes before the server is ready waits
    except OSError as error:
        if found is not None:
            found.close()
        raise TlbenchError(f"can't listen on {host} port {port}: {error.strerror}") from None
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def only_server(folder: Path) -> FileLock:
    """The lock of a board's one server; keep it.

    Raises:
        TlbenchError: If another server has it, or the folder can't be written.
    """
    lock = FileLock(folder / ".server.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise TlbenchError(f"another server runs on {folder}: one at a time") from None
    except OSError as error:
        raise StorageError(f"can't write to {folder}: {error.strerror}") from None
    return lock


def server(app: FastAPI, proxy: str | None = None) -> uvicorn.Server:
    """The server of an application; ``run(sockets=[...])`` serves until it is told to stop.

    Args:
        app: The application.
        proxy: Addresses of the reverse proxies whose ``X-Forwarded-For`` is believed, with commas; none: nobody's.
    """
    config = uvicorn.Config(
        app,
        http=Punctual,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy or "",
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return uvicorn.Server(config)
