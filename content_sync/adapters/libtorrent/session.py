"""The only import of libtorrent, and the session settings that box and county share.

Long thin links: TCP only, since uTP reached 7% of a lossy one where TCP reached 75% (findings). Nothing on
the session may talk to the world by itself: no DHT, no PEX, no UPnP, no NAT-PMP. Peers come from the county's
tracker, from LSD on a box's own network, or from the caller.

A trap of libtorrent 2.1.1: its web seed client joins requests across two files when the first file's last
piece has all its blocks and less than one block of padding, then counts the padding as received: both pieces
fail their hash and the web seed is banned. With a web seed let it fetch one file at a time (file priorities);
tests/e2e/test_county_serve.py has such a package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import libtorrent as lt

__all__ = ["ALERTS", "count_all_peers", "lt", "make_session"]

ALERTS = int(lt.alert.category_t.error_notification) | int(lt.alert.category_t.status_notification)
ALERTS |= int(lt.alert.category_t.storage_notification)


def make_session(
    port: int, *, lsd: bool, alerts: int = ALERTS, more: Mapping[str, Any] | None = None
) -> lt.session:
    """A session that listens on TCP `port` (0: any free one) of every IPv4 and IPv6 address.

    `lsd`: find peers on the local network by multicast (BEP 14). `alerts`: categories that `pop_alerts`
    gives. `more`: settings of libtorrent's `settings_pack` on top. A port that is taken shows as
    `listen_failed_alert`, never as another port.
    """
    settings: dict[str, Any] = {
        "user_agent": "LessonBox/1",
        "listen_interfaces": f"0.0.0.0:{port},[::]:{port}",
        "listen_system_port_fallback": False,
        "max_retry_port_bind": 0,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "enable_dht": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_lsd": lsd,
        "out_enc_policy": int(lt.enc_policy.pe_disabled),  # saves a round trip and a Pi's processor
        "allow_multiple_connections_per_ip": True,  # boxes behind one school's NAT
        "active_limit": -1,
        "aio_threads": 4,
        "hashing_threads": 1,
        "alert_mask": alerts,
        **(more or {}),
    }
    # Flags 0: no default plugins, so no PEX.
    session: lt.session = lt.session(settings, 0)  # type: ignore[arg-type, call-overload, unused-ignore]
    session.add_extension("smart_ban")
    return session


def count_all_peers(session: lt.session) -> None:
    """Make the session's rate limits hold for private addresses too: a county behind a VPN has one."""
    every = lt.ip_filter()
    every.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    every.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(every)
