"""Where `secret:path#key` leads: the table `[secrets]` of `ripresa.toml`.

[secrets]
store = "vault"                       # vault | kubernetes | aws

[secrets.vault]
address = "https://vault.example.com:8200"
token_file = "/run/secrets/vault-token"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, Self

from ripresa.runtimes.toml_tables import only, table

_WHERE: Final = "secrets"


class _Texts:
    """A table whose fields are texts."""

    NAME: ClassVar[str]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the table.  Raises ValueError naming the field."""
        where = f"{_WHERE}.{cls.NAME}"
        only(told, tuple(one.name for one in fields(cls)), where)  # type: ignore[arg-type]  # a dataclass each
        for name, value in told.items():
            if not isinstance(value, str):
                raise ValueError(  # noqa: TRY004 - a value in a file, not an argument
                    f"{where}.{name}: {value!r} is not a text"
                )
        return cls(**told)


@dataclass(frozen=True, slots=True)
class VaultSettings(_Texts):
    """HashiCorp Vault, key-value engine of version 2.

    `address` or VAULT_ADDR; the token is in `token_file` or VAULT_TOKEN.  `mount` is where the engine is mounted.
    """

    NAME: ClassVar[str] = "vault"

    address: str | None = None
    mount: str = "secret"
    token_file: str | None = None
    ca_file: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class KubernetesSettings(_Texts):
    """Secrets of a Kubernetes cluster; without settings, those of the cluster in which this process runs.

    A reference is `secret:name#key` in `namespace`, or `secret:namespace/name#key`.
    """

    NAME: ClassVar[str] = "kubernetes"

    api: str | None = None
    namespace: str | None = None
    token_file: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class AwsSettings(_Texts):
    """AWS Secrets Manager; credentials and region as boto3 finds them, unless `region` says otherwise."""

    NAME: ClassVar[str] = "aws"

    region: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class SecretSettings:
    """The whole table; `store` None: there is no secret store."""

    store: str | None = None
    vault: VaultSettings = field(default_factory=VaultSettings)
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    aws: AwsSettings = field(default_factory=AwsSettings)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the table.  Raises ValueError naming the field."""
        kinds = (VaultSettings, KubernetesSettings, AwsSettings)
        known = tuple(kind.NAME for kind in kinds)
        only(told, ("store", *known), _WHERE)
        store = told.get("store")
        if store is not None and store not in known:
            raise ValueError(f"{_WHERE}.store: {store!r} is not one of {', '.join(known)}")
        return cls(store, *(kind.of(table(told, kind.NAME, _WHERE)) for kind in kinds))  # type: ignore[arg-type]  # each in its place
