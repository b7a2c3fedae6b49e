"""Who asks: the address behind listed proxies, the holder of a token, and how often each may come."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from content_sync.errors import BusyError, SettingError, TokenError, TooManyError
from content_sync.formats.enrolment import is_private

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Where `Proxied` notes that a request came through somebody whom the county does not know.
_STRANGE = "county.strange_proxy"
_MOST_HOLDERS = 20_000


def parse_address(text: str) -> Address:
    """An IP address; IPv4 inside IPv6 becomes IPv4. Raises ValueError."""
    address = ipaddress.ip_address(text.split("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks of a setting. Raises SettingError."""
    try:
        return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)
    except ValueError as error:
        raise SettingError(f"trusted_proxies: {error}") from None


class Proxied:
    """WSGI: puts the address of the client behind trusted proxies into REMOTE_ADDR; what others say of
    themselves is not believed. The answer goes through untouched (sendfile)."""

    def __init__(self, inner: Callable[..., Any], proxies: Sequence[Network]) -> None:
        self._inner, self._proxies = inner, proxies

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        """As PEP 3333."""
        client = environ.get("REMOTE_ADDR", "")
        said = [name for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA") if environ.get(name)]
        strange = bool(said) and not self._trusted(client)
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        while hops and self._trusted(client):  # the last was written by the proxy that is nearest to us
            client = hops.pop()
        try:
            environ["REMOTE_ADDR"] = str(parse_address(client))
        except ValueError:
            strange = True
        environ[_STRANGE] = strange
        return self._inner(environ, start)

    def _trusted(self, text: str) -> bool:
        try:
            address = parse_address(text)
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in self._proxies)


class Buckets:
    """Token buckets by key: `rate` calls a second in the long run, `burst` at once. Safe for threads."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}  # key -> calls left, when; the longest unused first

    def take(self, key: str, now: float) -> float:
        """Take one call; 0, or the seconds until there is one."""
        with self._lock:
            left, at = self._left.pop(key, (self._burst, now))
            left = min(self._burst, left + max(0.0, now - at) * self._rate)
            wait = 0.0 if left >= 1 else (1 - left) / self._rate
            self._left[key] = (left - 1 if not wait else left, now)
            if len(self._left) > _MOST_HOLDERS:
                del self._left[next(iter(self._left))]
        return wait


class Places:
    """At most `most` at once of each key. Safe for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._taken: dict[str, int] = {}

    def take(self, key: str) -> None:
        """Raises BusyError."""
        with self._lock:
            if self._taken.get(key, 0) >= self._most:
                raise BusyError("too many files are being sent to this box at this moment")
            self._taken[key] = self._taken.get(key, 0) + 1

    def give_back(self, key: str) -> None:
        """What `take` took."""
        with self._lock:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]

    def total(self) -> int:
        """How many are taken in all."""
        with self._lock:
            return sum(self._taken.values())


class Visitor(Struct, frozen=True):
    """Who asks: the holder of the token (None: nobody that is known), and the address."""

    holder: str | None
    address: Address

    @property
    def key(self) -> str:
        """What limits count by."""
        return self.holder or str(self.address)


class Visitors:
    """Lets in who has a token that holds, and others where `open_access` (all, private, none) allows it."""

    def __init__(self, holder_of: Callable[[str], str | None], open_access: str, buckets: Buckets) -> None:
        self._holder_of, self._open, self._buckets = holder_of, open_access, buckets

    def admit(self, environ: dict[str, Any], token: str | None, now: float) -> Visitor:
        """Who asks. `now`: monotonic seconds. Raises TokenError, TooManyError."""
        try:
            address = parse_address(environ.get("REMOTE_ADDR", ""))
        except ValueError:
            raise TokenError("the address of the client is not one of the Internet") from None
        holder = None if token is None else self._holder_of(token)
        if token is not None and holder is None:
            raise TokenError("this token does not hold")
        near = address.is_loopback or address.is_link_local or is_private(address)
        private = near and not environ.get(_STRANGE)
        if token is None and not (self._open == "all" or (self._open == "private" and private)):
            raise TokenError("this address needs a token")
        visitor = Visitor(holder, address)
        wait = self._buckets.take(visitor.key, now)
        if wait:
            raise TooManyError(f"asked too often, again in {wait:.0f} s")
        return visitor
