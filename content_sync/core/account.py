"""The account of a metered line: bytes used this day and month, so that no cut of power and no clock makes
them forgotten. Pure.

Its days and months follow the *sure time*: the newest time that the county signed, plus the time that the
box has run since. It is never later than the truth and the system's clock has no part in it, so a clock that
jumps gives no fresh month. Bytes are booked before they are used: the file says what may have been used.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from content_sync.core.budget import day_number, month_number
from content_sync.core.timefloor import SLACK
from content_sync.errors import FormatError
from content_sync.formats.budget import BudgetPolicy
from content_sync.formats.canonical import check_format, dump, load, maybe, need

FORMAT = "lessonbox-account/1"
MAX_ACCOUNT = 4096
#: What content leaves of a quota: for asking the county, and for what is under way when it stops.
_MARGIN_SHARE, _MARGIN_MOST = 50, 1 << 20
#: Booked at once: this share of the smallest quota.
_CHUNK_SHARE, _CHUNK_LEAST, _CHUNK_MOST = 32, 256 << 10, 16 << 20
#: What is booked must last for so many seconds, a missed step or two included.
_HORIZON = 4
#: Where less is left, nothing is begun.
_CRUMB = 64 << 10
_LENGTHS = {"day": 86_400, "month": 31 * 86_400}


class Reading(Struct, frozen=True):
    """The bytes that an interface has carried both ways since `boot` began or it came up."""

    boot: str
    interface: str
    carried: int


def carried(before: Reading | None, now: Reading) -> int:
    """Bytes between two readings: counters begin anew with a boot or an interface, and old ones wrap at
    2^32. Nothing is known of what an interface carried before it was first seen."""
    if before is None or before.interface != now.interface:
        return 0
    if before.boot != now.boot:
        return now.carried
    if now.carried >= before.carried:
        return now.carried - before.carried
    wrapped = now.carried + (1 << 32) - before.carried
    return wrapped if before.carried < 1 << 32 and wrapped < 1 << 31 else now.carried


class _Period(Struct):
    """A day or month: its number (None before the county said the time), bytes used, seconds run."""

    label: int | None = None
    used: int = 0
    ran: float = 0.0


class Account:
    """See the module. `ahead`: bytes booked on the disk and not used yet."""

    def __init__(self) -> None:
        self.sure = 0.0
        self.signed: int | None = None
        self.periods = {"day": _Period(), "month": _Period()}
        self.ahead = 0
        self.reading: Reading | None = None
        self.line: int | None = None  # bytes a second that the line was seen to carry, beside the account

    @classmethod
    def parse(cls, data: bytes) -> Account:
        """From the file. Raises FormatError."""
        obj = load(data, MAX_ACCOUNT)
        check_format(obj, FORMAT)
        made = cls()
        made.sure, made.signed = float(need(obj, "sure", int)), maybe(obj, "signed", int)
        for name, period in made.periods.items():
            entry = need(obj, name, dict)
            period.label = maybe(entry, "label", int)
            period.used, period.ran = max(0, need(entry, "used", int)), float(max(0, need(entry, "ran", int)))
        made.line = maybe(obj, "line", int)
        counter = maybe(obj, "counter", dict)
        if counter is not None:
            carried = need(counter, "carried", int)
            made.reading = Reading(need(counter, "boot", str), need(counter, "interface", str), carried)
        return made

    def dump(self) -> bytes:
        """For the file: what is booked counts as used."""
        obj: dict[str, Any] = {"format": FORMAT, "sure": int(self.sure), "signed": self.signed}
        obj["line"] = self.line
        for name, period in self.periods.items():
            obj[name] = {"label": period.label, "used": period.used + self.ahead, "ran": int(period.ran)}
        seen = self.reading
        obj["counter"] = (
            None
            if seen is None
            else {"boot": seen.boot, "interface": seen.interface, "carried": seen.carried}
        )
        return dump(obj)

    def go(self, seconds: float, signed: int | None, offset: int, month_day: int) -> bool:
        """Time passes; `signed` is the newest time of the county that is not doubted. Whether a day or month
        began."""
        self.sure += seconds
        if signed is not None and signed != self.signed:
            self.signed = signed
            if signed > self.sure or signed < self.sure - SLACK:  # the county took an earlier time back
                self.sure = float(signed)
        if self.signed is None:
            return False
        labels = {
            "day": day_number(self.sure, offset),
            "month": month_number(self.sure, offset, month_day),
        }
        began = False
        for name, period in self.periods.items():
            period.ran += seconds
            if period.label is None:
                period.label = labels[name]
            elif labels[name] > period.label or period.ran >= _LENGTHS[name]:
                self.periods[name] = _Period(max(labels[name], period.label))
                began = True
        return began

    def spend(self, count: int) -> None:
        """Bytes have been used."""
        for period in self.periods.values():
            period.used += count
        self.ahead = max(0, self.ahead - count)

    def left(self, policy: BudgetPolicy) -> tuple[int, str] | None:
        """Bytes that content may use yet, and the quota that says so; None without a quota."""
        found = [
            (quota - min(quota // _MARGIN_SHARE, _MARGIN_MOST) - self.periods[name].used, name)
            for name, quota in (("day", policy.day), ("month", policy.month))
            if quota is not None
        ]
        return min(found) if found else None

    def spent_up(self, policy: BudgetPolicy) -> bool:
        """Whether a quota is used to its end: not even the county is asked."""
        quotas = (("day", policy.day), ("month", policy.month))
        return any(quota is not None and self.periods[name].used >= quota for name, quota in quotas)

    def book(self, policy: BudgetPolicy) -> bool:
        """Book ahead when little is; whether the file must be written, before `rate` is acted on."""
        limit = self.left(policy)
        if limit is None:
            return False
        quotas = [quota for quota in (policy.day, policy.month) if quota is not None]
        chunk = max(_CHUNK_LEAST, min(min(quotas) // _CHUNK_SHARE, _CHUNK_MOST))
        if self.ahead >= min(chunk // 2, max(0, limit[0])):
            return False
        self.ahead = min(chunk, max(0, limit[0]))
        return True

    def rate(self, policy: BudgetPolicy) -> tuple[int, str] | None:
        """Most bytes a second that stay within what is booked, and the quota's name; None without a quota."""
        limit = self.left(policy)
        if limit is None:
            return None
        usable = min(self.ahead, limit[0])
        return (usable // _HORIZON if usable >= _CRUMB else 0), limit[1]

    def fill(self, policy: BudgetPolicy) -> None:
        """What was written is lost: this day's quota counts as used."""
        self.periods["day"].used = max(self.periods["day"].used, policy.day or 0)


def parse_account(data: bytes | None, policy: BudgetPolicy) -> tuple[Account, FormatError | None]:
    """The account from its file, or a careful new one and what is wrong with the file."""
    if data is None:
        return Account(), None
    try:
        return Account.parse(data), None
    except FormatError as error:
        made = Account()
        made.fill(policy)
        return made, error
