"""Neighbours divide the pieces of a package without a word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from content_sync.core.sharing import Turns, mine, owner

NAMES = st.sets(st.ip_addresses(v=4).map(str), min_size=1, max_size=6)
HASH = "ef" * 32
A, B, C = "10.0.0.11", "10.0.0.12", "10.0.0.13"


@given(NAMES, st.integers(0, 40))
def test_each_piece_is_one_members(names: set[str], pieces: int) -> None:
    shares = [mine("ab" * 32, pieces, me, names - {me}) for me in names]
    assert all(sum(column) == 1 for column in zip(*shares, strict=True))
    assert all(len(share) == pieces for share in shares)


def test_shares_are_about_equal() -> None:
    names = [A, B, C]
    for me in names:
        assert 260 < sum(mine("cd" * 32, 1000, me, names)) < 410


def test_only_the_pieces_of_one_who_leaves_change_hands() -> None:
    names = [A, B, C]
    for piece in range(200):
        before = owner(HASH, piece, names)
        if before != names[2]:
            assert owner(HASH, piece, names[:2]) == before


def test_alone_everything_is_mine() -> None:
    assert all(mine("ab" * 32, 9, A, ()))


def look(turns: Turns, now: float, me: str, lacking: set[int], **has: set[int]) -> list[int]:
    """What falls to `me`; `has`: what the others (a, b, c) have."""
    names = {"a": A, "b": B, "c": C}
    others = {names[key]: [piece in pieces for piece in range(60)] for key, pieces in has.items()}
    return turns.look(now, me, lacking, set(), others)


def test_all_agree_and_ask_for_the_surest_first() -> None:
    every = set(range(60))
    shares = [
        look(Turns(HASH, 60), 0, A, every, b=set(), c=set()),
        look(Turns(HASH, 60), 0, B, every, a=set(), c=set()),
        look(Turns(HASH, 60), 0, C, every, a=set(), b=set()),
    ]
    assert sorted(sum(shares, [])) == sorted(every)
    # What a box would ask for first while it knows nobody is mostly its own when it knows them all.
    for me, share in zip((A, B, C), shares, strict=True):
        first = look(Turns(HASH, 60), 0, me, every)[:10]
        assert len(set(first) & set(share)) >= 8
        assert share == [piece for piece in look(Turns(HASH, 60), 0, me, every) if piece in share]


def test_the_next_in_rank_steps_in_for_a_silent_one_and_back() -> None:
    every, alone = set(range(60)), [owner(HASH, piece, (A, C)) for piece in range(60)]
    one, three = Turns(HASH, 60), Turns(HASH, 60)
    share = look(one, 0, A, every, b=set(), c=set())
    theirs = look(Turns(HASH, 60), 0, B, every, a=set(), c=set())
    lacking, have = set(every), set()
    for second in range(1, 20):  # A and C work on, B says nothing
        have |= {piece for piece in share[second : second + 1]}
        lacking = every - have
        c_own = look(three, second, C, lacking, a=have, b=set())
        own = look(one, second, A, lacking, b=set(), c={second % 7 + 40} & set(c_own))
    assert one.silent >= {B} and three.silent >= {B}
    assert all(alone[piece] == A for piece in set(own) & set(theirs)) and set(own) & set(theirs)
    assert not set(own) & set(c_own) & set(theirs), "never two at once"
    came = {theirs[0], theirs[1]}
    look(one, 20, A, lacking, b=came, c=set())
    assert B not in one.silent


def test_one_who_works_is_never_silent() -> None:
    turns, every = Turns(HASH, 60), set(range(60))
    theirs = look(Turns(HASH, 60), 0, B, every, a=set())
    for second in range(100):
        came = set(theirs[: second // 10])
        look(turns, second, A, every - came, b=came)
        assert turns.silent == set()


def test_a_box_that_has_done_its_share_begins_at_the_others_end() -> None:
    turns, every = Turns(HASH, 60), set(range(60))
    theirs = look(Turns(HASH, 60), 0, B, every, a=set())
    look(turns, 0, A, every, b=set())
    spare = turns.spare(A, set(theirs))
    assert spare == theirs[::-1]
