"""Special shelves: what stands beside the textbook volumes (formats.md 11.2). Reserved names of a 学段."""

from __future__ import annotations

#: 学段 of the source tree -> the shelf that pages show it on.
SHELVES = {
    "专递课堂": "recorded",
    "名师课堂": "recorded",
    "名校网络课堂": "recorded",
    "专题教育": "topics",
    "教师培训": "training",
    "社区教育": "community",
    "农民实用技术": "community",
    "党员教育": "community",
}
#: What stands for a 版本 there.
NO_EDITION = "不分版本"
#: Of what the school has made itself (formats.md, local lessons) the collections' ids begin so.
LOCAL = "local-"


def shelf_of(stage: str) -> str:
    """The special shelf of a 学段, empty for that of textbooks."""
    return SHELVES.get(stage, "")
