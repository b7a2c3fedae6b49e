"""Neighbours divide the pieces of a package without a word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from content_sync.core.sharing import mine, owner

NAMES = st.sets(st.ip_addresses(v=4).map(str), min_size=1, max_size=6)


@given(NAMES, st.integers(0, 40))
def test_each_piece_is_one_members(names: set[str], pieces: int) -> None:
    shares = [mine("ab" * 32, pieces, me, names - {me}) for me in names]
    assert all(sum(column) == 1 for column in zip(*shares, strict=True))
    assert all(len(share) == pieces for share in shares)


def test_shares_are_about_equal() -> None:
    names = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
    for me in names:
        assert 260 < sum(mine("cd" * 32, 1000, me, names)) < 410


def test_only_the_pieces_of_one_who_leaves_change_hands() -> None:
    names = ["10.0.0.11", "10.0.0.12", "10.0.0.13"]
    for piece in range(200):
        before = owner("ef" * 32, piece, names)
        if before != names[2]:
            assert owner("ef" * 32, piece, names[:2]) == before


def test_alone_everything_is_mine() -> None:
    assert all(mine("ab" * 32, 9, "10.0.0.11", ()))
