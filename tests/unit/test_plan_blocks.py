"""The pure parts: the plan and the block map."""

from __future__ import annotations

import random

from content_sync.core.blocks import BlockMap, piece_claims
from content_sync.core.plan import Want, make
from content_sync.core.reason import Reason
from content_sync.formats.hashtree import BLOCK
from tests.unit.small_county import identify


def want(name: str, lacking: int = 10, roots: str = "", blocked: str = "") -> Want:
    why = Reason("refused", (("code", blocked),)) if blocked else None
    return Want(name, f"hash-{name}", name, lacking, frozenset(roots) if roots else None, why)


def test_plan_keeps_order_and_limit() -> None:
    made = make([want("a"), want("b"), want("c")], frozenset(), 2, 100)
    assert made.fetching == ("hash-a", "hash-b") and made.short == 0
    assert made.decisions[2].reason.text == "排队中，前面还有 2 课"


def test_plan_passes_over_what_does_not_fit() -> None:
    made = make([want("a", 90), want("b", 20), want("c", 10)], frozenset(), 4, 100)
    assert made.fetching == ("hash-a", "hash-c") and made.short == 10


def test_running_lessons_go_on_and_take_no_space_again() -> None:
    made = make([want("a", 500), want("b", 50)], frozenset({"hash-a"}), 2, 60)
    assert made.fetching == ("hash-a", "hash-b")


def test_a_shared_file_is_fetched_by_one_lesson_alone() -> None:
    made = make([want("a", roots="xy"), want("b", roots="yz"), want("c", roots="w")], frozenset(), 4, 100)
    assert made.fetching == ("hash-a", "hash-c")
    assert made.decisions[1].reason.text == "与《a》共用文件，等它先到齐"


def test_blocked_says_why() -> None:
    made = make([want("a", blocked="E-PATH"), want("b")], frozenset(), 1, 100)
    assert made.fetching == ("hash-b",)
    assert made.decisions[0].reason.text == "这一课的发布内容有误（E-PATH），请县里重新发布"


def test_a_block_map_believes_bytes_alone() -> None:
    data = random.Random(1).randbytes(5 * BLOCK + 99)
    file, leaves = identify(data)
    bad = bytearray(data)
    bad[BLOCK] ^= 1
    blocks = [bytes(bad[start : start + BLOCK]) for start in range(0, len(bad), BLOCK)]
    made = BlockMap.rebuilt(file, leaves, [*blocks, b"more than there should be"])
    assert [index for index, _ in made.missing()] == [1] and not made.whole
    assert made.have_bytes == len(data) - BLOCK
    assert not made.fits(1, data[:BLOCK]) and not made.fits(9, b"") and made.fits(1, data[BLOCK : 2 * BLOCK])
    made.mark(1)
    made.mark(1)
    assert made.whole and made.flags == b"\1" * 6
    made.reload([b""])
    assert made.have_bytes == 0


def test_claims_to_a_swarm() -> None:
    flags = bytes([1, 1, 1, 1, 1, 0, 0, 1, 0])
    assert piece_claims(flags, 8 * BLOCK + 5, 4 * BLOCK) == (
        [True, False, False],
        {1: [True, False, False, True]},
    )
    assert piece_claims(None, 8 * BLOCK + 5, 4 * BLOCK) == ([True] * 3, {})
