"""Local images: which directory stands for an image where jobs run as processes, and what starts there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ripresa.contracts.job_order import JobOrder, split_image
from ripresa.runtimes.dockerfile import start_of
from ripresa.runtimes.job_outcome import cannot_start

_TABLE = "[runtimes.process.images] in ripresa.toml"


@dataclass(frozen=True, slots=True)
class LocalImages:
    """Patterns of image names and the directories that stand for them; the first that fits is meant.

    A pattern without a tag fits any tag.  `{name}` and `{tag}` in a directory are the image's.  Directories are
    relative to `base`.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    base: Path = field(default_factory=Path)

    def directory(self, image: str) -> Path:
        """The directory of an image.  Raises JobFailed that says what to write where."""
        name, tag = split_image(image)
        for pattern, place in self.patterns.items():
            if _fits(pattern, name, tag):
                return self._existing(image, pattern, place, name, tag)
        if not self.patterns:
            raise cannot_start(
                f"image {image!r}: runtime process runs it in a local directory, and none is known;"
                f' write "{name}" = "path/to/directory" under {_TABLE}'
            )
        known = ", ".join(f'"{pattern}"' for pattern in self.patterns)
        raise cannot_start(f"image {image!r} fits no pattern of {_TABLE} (there are: {known})")

    def _existing(self, image: str, pattern: str, place: str, name: str, tag: str) -> Path:
        parts = (name, name.rpartition("/")[2])
        tried = [self.base / place.replace("{name}", part).replace("{tag}", tag) for part in parts]
        for directory in tried:  # the whole name, else its last part
            if directory.is_dir():
                return directory.resolve()
        raise cannot_start(f'image {image!r}: "{pattern}" leads to {tried[0]}, which is not a directory; see {_TABLE}')


def argv_of(order: JobOrder, directory: Path) -> tuple[str, ...]:
    """What to execute for the order: its command, else what the directory says.  Raises JobFailed."""
    if order.command is not None:
        return order.command + order.args
    dockerfile = directory / "Dockerfile"
    if dockerfile.is_file():
        try:
            argv = start_of(dockerfile.read_text("utf-8")).argv(order.args)
        except (OSError, ValueError) as error:
            raise cannot_start(f"job {order.name!r}: {dockerfile}: {error}") from None
        if argv:
            return argv
    entrypoint = directory / "entrypoint"
    if entrypoint.is_file():
        if not os.access(entrypoint, os.X_OK):
            raise cannot_start(f"job {order.name!r}: {entrypoint} is not executable; chmod +x it")
        return (str(entrypoint), *order.args)
    raise cannot_start(
        f"job {order.name!r}: nothing says what to execute in {directory}: give the job a command, or the directory"
        " a Dockerfile with ENTRYPOINT or CMD, or an executable file entrypoint"
    )


def _fits(pattern: str, name: str, tag: str) -> bool:
    wanted, wanted_tag = split_image(pattern)
    has_tag = wanted != pattern.partition("@")[0]
    return fnmatchcase(name, wanted) and (not has_tag or fnmatchcase(tag, wanted_tag))
