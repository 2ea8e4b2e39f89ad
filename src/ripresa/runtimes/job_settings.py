"""Job settings: what `ripresa.toml` says of the runtimes of jobs.

    [runtimes.process.images]
    "lakehouse/*" = "jobs/lakehouse"

    [runtimes.container]
    registries = ["ghcr.io/acme/*"]

Read at the edge, by the command line or when an App without settings of its own first runs a job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ripresa.runtimes.container.policy import ContainerPolicy
from ripresa.runtimes.local_images import LocalImages
from ripresa.runtimes.secrets.settings import SecretSettings
from ripresa.runtimes.toml_tables import only, table

FILE = "ripresa.toml"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The tables `runtimes` and `secrets` of the file, read."""

    images: LocalImages = field(default_factory=LocalImages)
    container: ContainerPolicy = field(default_factory=ContainerPolicy)
    secrets: SecretSettings = field(default_factory=SecretSettings)

    @classmethod
    def of(cls, told: Mapping[str, Any], base: Path, secrets: Mapping[str, Any] | None = None) -> Self:
        """From tables `runtimes` and `secrets`; paths are relative to `base`.  Raises ValueError naming the field."""
        only(told, ("process", "container"), "runtimes")
        process = table(told, "process", "runtimes")
        only(process, ("images",), "runtimes.process")
        images = table(process, "images", "runtimes.process")
        for pattern, place in images.items():
            if not isinstance(place, str) or not place:
                raise ValueError(f'runtimes.process.images."{pattern}": {place!r} is not a directory\'s path')
        return cls(
            LocalImages(images, base),
            ContainerPolicy.of(table(told, "container", "runtimes")),
            SecretSettings.of(secrets or {}),
        )

    @classmethod
    def from_file(cls, path: Path = Path(FILE)) -> Self:
        """From a file, or the defaults if there is none.  Raises ValueError naming the file and the field."""
        if not path.is_file():
            return cls()
        import tomllib

        try:
            told = tomllib.loads(path.read_text("utf-8"))
            return cls.of(table(told, "runtimes", ""), path.resolve().parent, table(told, "secrets", ""))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None
