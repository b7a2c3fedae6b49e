"""Which files of a lesson a box fetches, by the county's policy, and what teachers then see. Pure.

`full` leaves the light renditions out, `light` takes them where there are any, in place of what they were
made from, `none` leaves a kind out (formats.md 5.1).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from content_sync.formats.lesson import LIGHT, NAME, Lesson, Resource
from content_sync.formats.policy import Policy


def plain(policy: Policy) -> bool:
    """Whether everything is wanted in full, so that the paths alone tell which files."""
    return not policy.renditions


def full_paths(paths: Iterable[str]) -> frozenset[str]:
    """The paths that are wanted in full."""
    return frozenset(path for path in paths if not path.startswith(LIGHT))


def choose(lesson: Lesson, policy: Policy) -> Lesson:
    """The lesson with what is chosen of it alone: a light rendition becomes what opens."""
    resources = (_choose(resource, policy.choice(resource.kind)) for resource in lesson.resources)
    return replace(lesson, resources=tuple(resource for resource in resources if resource is not None))


def narrow(lesson: Lesson, paths: Iterable[str]) -> Lesson:
    """The lesson with those of its files alone that are at `paths`: what a package brought before the policy
    changed is shown as it is."""
    held = frozenset(paths)
    resources = []
    for resource in lesson.resources:
        files = tuple(entry for entry in resource.files if entry.path in held)
        light = next((entry for entry in files if entry.role == "light"), None)
        if all(entry.role != "main" for entry in files):
            if light is None:
                continue
            files = tuple(replace(entry, role="main") if entry is light else entry for entry in files)
        elif light is not None:
            files = tuple(entry for entry in files if entry is not light)
        if any(entry.path.startswith(LIGHT) and entry.role == "main" for entry in files):
            resource = replace(resource, media_type="video/mp4")
        resources.append(replace(resource, files=files))
    return replace(lesson, resources=tuple(resources))


def paths_of(lesson: Lesson) -> frozenset[str]:
    """All paths of a lesson's package that it needs."""
    return frozenset((NAME, *(entry.path for resource in lesson.resources for entry in resource.files)))


def _choose(resource: Resource, choice: str) -> Resource | None:
    if choice == "none":
        return None
    light = resource.with_role("light")
    if choice == "full":
        return replace(resource, files=tuple(entry for entry in resource.files if entry.role != "light"))
    left_out = ("original", "main") if light else ("original",)
    return replace(resource, files=tuple(entry for entry in resource.files if entry.role not in left_out))
