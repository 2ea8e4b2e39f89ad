"""Job settings: what `ripresa.toml` says of the runtimes of jobs.

    [runtimes.process.images]
    "lakehouse/*" = "jobs/lakehouse"

Read at the edge, by the command line or when an App without settings of its own first runs a job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ripresa.runtimes.local_images import LocalImages

FILE = "ripresa.toml"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The tables `runtimes.*` of the file, read."""

    images: LocalImages = field(default_factory=LocalImages)

    @classmethod
    def of(cls, told: Mapping[str, Any], base: Path) -> Self:
        """From the file's table `runtimes`; paths are relative to `base`.  Raises ValueError naming the field."""
        only(told, ("process",), "runtimes")
        process = table(told, "process", "runtimes")
        only(process, ("images",), "runtimes.process")
        images = table(process, "images", "runtimes.process")
        for pattern, place in images.items():
            if not isinstance(place, str) or not place:
                raise ValueError(f'runtimes.process.images."{pattern}": {place!r} is not a directory\'s path')
        return cls(LocalImages(images, base))

    @classmethod
    def from_file(cls, path: Path = Path(FILE)) -> Self:
        """From a file, or the defaults if there is none.  Raises ValueError naming the file and the field."""
        if not path.is_file():
            return cls()
        import tomllib

        try:
            told = tomllib.loads(path.read_text("utf-8"))
            return cls.of(table(told, "runtimes", ""), path.resolve().parent)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None


def table(told: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """The table of this name, empty if there is none.  Raises ValueError if it is something else."""
    value = told.get(name, {})
    if not isinstance(value, Mapping):
        place = f"{where}.{name}" if where else name
        raise ValueError(  # noqa: TRY004 - a value in a file, not an argument
            f"{place}: {value!r} is not a table; write [{place}]"
        )
    return dict(value)


def only(told: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raise ValueError for a field that is not known, with the nearest that is."""
    for name in told:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(known)})"
            raise ValueError(f"{where}.{name}: unknown field{hint}")
