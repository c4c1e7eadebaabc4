"""Token buckets: how often one may try. They live in memory, so a server is one process."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable

_MOST = 10_000


class Buckets:
    """One bucket per key, filled steadily.

    Args:
        per_minute: How many tries a minute refills.
        burst: How many a full bucket holds.
        clock: Seconds.
    """

    def __init__(self, per_minute: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._burst = float(burst)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str) -> float:
        """Take one try; gives the seconds to wait, 0 where it was granted."""
        with self._lock:
            time_ = self._clock()
            left = self._now(key, time_)
            granted = left >= 1
            self._left[key] = (left - granted, time_)
            if len(self._left) > _MOST:
                self._forget(time_)
            return 0.0 if granted else (1 - left) / self._rate

    def give_back(self, key: str) -> None:
        """Undo a try."""
        with self._lock:
            time_ = self._clock()
            self._left[key] = (min(self._burst, self._now(key, time_) + 1), time_)

    def _now(self, key: str, time_: float) -> float:
        left, since = self._left.get(key, (self._burst, time_))
        return min(self._burst, left + (time_ - since) * self._rate)

    def _forget(self, time_: float) -> None:
        """Drop the buckets that are full again; if that is not enough, the oldest half."""
        self._left = {key: kept for key, kept in self._left.items() if self._now(key, time_) < self._burst}
        if len(self._left) > _MOST:
            oldest = sorted(self._left, key=lambda key: self._left[key][1])
            for key in oldest[: _MOST // 2]:
                del self._left[key]


def address_key(host: str) -> str:
    """What tries are counted by: an IPv4 address, or the /64 that an IPv6 host chooses from."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "elsewhere"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
    return str(address)
