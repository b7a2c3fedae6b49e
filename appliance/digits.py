"""Secrets of a few digits: how they are kept, and what a wrong try costs. What they are worth over plain HTTP
stands in docs/threats.md."""

from __future__ import annotations

import hashlib

#: scrypt (RFC 7914): 16 MiB and about 0.1 s on a Pi.
N, R, P = 1 << 14, 8, 1
#: Tries that cost no wait; then 10 s, doubled with each further one, up to a quarter of an hour.
FREE, _FIRST, _LONGEST = 3, 10, 900


def digest(digits: str, salt: bytes) -> bytes:
    """What is kept of a PIN."""
    return hashlib.scrypt(digits.encode(), salt=salt, n=N, r=R, p=P, maxmem=64 << 20, dklen=32)


def wait_after(wrong: int) -> int:
    """Seconds until the next try after so many wrong ones in a row."""
    return 0 if wrong < FREE else min(_FIRST << min(wrong - FREE, 20), _LONGEST)
