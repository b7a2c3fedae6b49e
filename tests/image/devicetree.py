"""Flattened device trees, read far enough to ask: what must work before this device does?"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_BEGIN, _END, _PROPERTY, _NOP, _ALL = 1, 2, 3, 4, 9
#: Properties that name other devices, and which property of the other says how many cells follow.
_SUPPLIERS = {
    "clocks": "#clock-cells",
    "assigned-clocks": "#clock-cells",
    "dmas": "#dma-cells",
    "gpios": "#gpio-cells",
    "interrupts-extended": "#interrupt-cells",
    "iommus": "#iommu-cells",
    "mboxes": "#mbox-cells",
    "phys": "#phy-cells",
    "power-domains": "#power-domain-cells",
    "pwms": "#pwm-cells",
    "resets": "#reset-cells",
    "firmware": "",
    "interrupt-parent": "",
    "mmc-pwrseq": "",
    "msi-parent": "",
    "phy-handle": "",
}


@dataclass(eq=False)
class Node:
    """One node with its properties as they stand in the file."""

    name: str
    parent: Node | None
    properties: dict[str, bytes] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    @property
    def path(self) -> str:
        """From the root, `/soc/mmc@7e340000`."""
        if self.parent is None:
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.name}"

    @property
    def compatible(self) -> list[str]:
        """What drivers know it by, the best first."""
        return self.properties.get("compatible", b"").rstrip(b"\0").decode().split("\0") * (
            "compatible" in self.properties
        )

    @property
    def enabled(self) -> bool:
        """It and all above it, as `status` says."""
        own = self.properties.get("status", b"okay\0") in (b"okay\0", b"ok\0")
        return own and (self.parent is None or self.parent.enabled)

    def cells(self, name: str) -> list[int]:
        """A property as numbers of 32 bits."""
        data = self.properties.get(name, b"")
        return list(struct.unpack_from(f">{len(data) // 4}I", data))

    def walk(self) -> Iterator[Node]:
        """It and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, compatible: str) -> Node:
        """The first enabled node that is compatible. Raises LookupError."""
        for node in self.walk():
            if compatible in node.compatible and node.enabled:
                return node
        raise LookupError(compatible)


def parse(data: bytes) -> Node:
    """The tree in a .dtb file. Raises ValueError."""
    magic, _size, structure, strings = struct.unpack_from(">4I", data)
    if magic != 0xD00DFEED:
        raise ValueError("not a device tree")
    at, here = structure, None
    while True:
        (token,) = struct.unpack_from(">I", data, at)
        at += 4
        if token == _BEGIN:
            end = data.index(b"\0", at)
            new = Node(data[at:end].decode(), here)
            if here is not None:
                here.children.append(new)
            here, at = new, (end + 4) & ~3
        elif token == _PROPERTY:
            length, name = struct.unpack_from(">2I", data, at)
            key = data[strings + name : data.index(b"\0", strings + name)].decode()
            assert here is not None
            here.properties[key] = data[at + 8 : at + 8 + length]
            at = (at + 8 + length + 3) & ~3
        elif token == _END:
            assert here is not None
            if here.parent is None:
                return here
            here = here.parent
        elif token != _NOP:
            raise ValueError(f"token {token}")


def suppliers(node: Node, phandles: dict[int, Node]) -> Iterator[Node]:
    """What a node names as what it needs."""
    for name in node.properties:
        cells = node.cells(name)
        if name.endswith("-supply") or name.startswith("pinctrl-") and name != "pinctrl-names":
            yield from (phandles[it] for it in cells)
            continue
        counted = _SUPPLIERS.get("gpios" if name.endswith(("-gpios", "-gpio")) else name)
        while counted is not None and cells:
            other = phandles.get(cells.pop(0))
            if other is not None:
                yield other
                count = other.cells(counted) if counted else []
                del cells[: count[0] if count else 0]


def needs(root: Node, device: Node) -> list[Node]:
    """The device, the buses above it and all that any of them need, each once: only what has `compatible`."""
    phandles = {it.cells("phandle")[0]: it for it in root.walk() if "phandle" in it.properties}
    seen: dict[int, Node] = {}
    left = [device]
    while left:
        node: Node | None = left.pop()
        while node is not None and not node.compatible:
            left.extend(suppliers(node, phandles))
            node = node.parent  # a pin's state belongs to its controller
        if node is None or node.parent is None or id(node) in seen:
            continue
        seen[id(node)] = node
        left.extend(suppliers(node, phandles))
        left.append(node.parent)
    return list(seen.values())
