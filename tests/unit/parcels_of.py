"""A carousel of a SmallCounty, made by the county's real builder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from content_sync.adapters.fec import RaptorQ
from county.distribute.carousel import Asked, build
from tests.unit.small_county import NOW, SmallCounty, identify


class _Bar:
    done = 0

    def to(self, done: int) -> None:
        self.done = done

    def close(self) -> None:
        pass


def parcels_of(
    county: SmallCounty, folder: Path, overhead: float = 0.3, keep: bool = True, **asked: Any
) -> list[bytes]:
    """The parcels of the next cycle, in order; not `keep`: they are only written."""
    objects = county.folder / "objects"
    for root, data in county.content.items():
        (objects / root[:2]).mkdir(parents=True, exist_ok=True)
        (objects / root[:2] / root).write_bytes(data)
    library = SimpleNamespace(
        boxes=list,
        package=lambda infohash: SimpleNamespace(made=NOW),
        leaves=lambda root: identify(county.content[root])[1],
        issued=lambda number: NOW if number == 1 else None,
    )
    services: Any = SimpleNamespace(
        paths=SimpleNamespace(data=county.folder, public=county.public, objects=objects),
        settings=SimpleNamespace(text=lambda name: "清河县"),
        library=lambda: library,
        envelopes=None,
    )
    before = set(folder.glob("*.parcel"))
    build(services, RaptorQ(), Asked(folder, overhead, **asked), NOW, lambda what, total: _Bar())
    made = [path for path in sorted(folder.glob("*.parcel")) if path not in before]
    return [path.read_bytes() for path in made] if keep else []
