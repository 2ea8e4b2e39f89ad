"""Job settings: what `ripresa.toml` says of the runtimes of jobs.

    [runtimes.process.images]
    "lakehouse/*" = "jobs/lakehouse"

    [runtimes.container]
    registries = ["ghcr.io/acme/*"]

Read at the edge, by the command line or when an App without settings of its own first runs a job.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from ripresa.runtimes.celery.settings import BROKER_VARIABLE, CelerySettings
from ripresa.runtimes.container.policy import ContainerPolicy
from ripresa.runtimes.kubernetes.policy import KubernetesPolicy
from ripresa.runtimes.local_images import LocalImages
from ripresa.runtimes.secrets.settings import SecretSettings
from ripresa.runtimes.toml_tables import only, table

FILE = "ripresa.toml"
HOST_VARIABLE = "RIPRESA_CONTAINER_HOST"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The tables `runtimes` and `secrets` of the file, read."""

    images: LocalImages = field(default_factory=LocalImages)
    container: ContainerPolicy = field(default_factory=ContainerPolicy)
    kubernetes: KubernetesPolicy = field(default_factory=KubernetesPolicy)
    celery: CelerySettings = field(default_factory=CelerySettings)
    secrets: SecretSettings = field(default_factory=SecretSettings)

    @classmethod
    def of(cls, told: Mapping[str, Any], base: Path, secrets: Mapping[str, Any] | None = None) -> Self:
        """From tables `runtimes` and `secrets`; paths are relative to `base`.  Raises ValueError naming the field."""
        only(told, ("process", "container", "kubernetes", "celery"), "runtimes")
        process = table(told, "process", "runtimes")
        only(process, ("images",), "runtimes.process")
        images = table(process, "images", "runtimes.process")
        for pattern, place in images.items():
            if not isinstance(place, str) or not place:
                raise ValueError(f'runtimes.process.images."{pattern}": {place!r} is not a directory\'s path')
        container = ContainerPolicy.of(table(told, "container", "runtimes"))
        kubernetes = KubernetesPolicy.of(table(told, "kubernetes", "runtimes"))
        celery = CelerySettings.of(table(told, "celery", "runtimes"))
        return cls(LocalImages(images, base), container, kubernetes, celery, SecretSettings.of(secrets or {}))

    @classmethod
    def read(cls, file: Mapping[str, Any], base: Path) -> Self:
        """From a whole file, as TOML has it.  Raises ValueError naming the field."""
        return cls.of(table(file, "runtimes", ""), base, table(file, "secrets", ""))

    @classmethod
    def from_file(cls, path: Path = Path(FILE)) -> Self:
        """From a file, or the defaults if there is none, and the environment, which wins.

        Raises ValueError naming the file and the field.
        """
        settings = cls()
        if path.is_file():
            import tomllib

            try:
                settings = cls.read(tomllib.loads(path.read_text("utf-8")), path.resolve().parent)
            except (OSError, ValueError) as error:
                raise ValueError(f"{path}: {error}") from None
        if host := os.environ.get(HOST_VARIABLE):
            settings = replace(settings, container=replace(settings.container, host=host))
        if broker := os.environ.get(BROKER_VARIABLE):
            settings = replace(settings, celery=replace(settings.celery, broker=broker))
        return settings
