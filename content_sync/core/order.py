"""In which order collections stand for teachers, and so in which order they arrive. Pure."""

from __future__ import annotations

from content_sync.formats.collection import Collection

_STAGES = ("学前", "小学", "初中", "高中")
_SUBJECTS = ("语文", "数学", "英语", "道德与法治", "科学", "物理", "化学", "生物", "历史", "地理")
_DIGITS = {digit: value for value, digit in enumerate("一二三四五六七八九", 1)}
_VOLUMES = ("上册", "下册", "全一册")


def _rank(words: tuple[str, ...], text: str) -> int:
    return words.index(text) if text in words else len(words)


def teaching_order(collection: Collection) -> tuple[object, ...]:
    """Sort key: stage, subject, grade, volume, then edition and id."""
    return (
        _rank(_STAGES, collection.stage),
        _rank(_SUBJECTS, collection.subject),
        collection.subject,
        _DIGITS.get(collection.grade.lstrip("高初")[:1], 99),
        collection.grade,
        _rank(_VOLUMES, collection.volume),
        collection.edition,
        collection.id,
    )
