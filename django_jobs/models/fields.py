"""Columns that mean the same on every database."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class NameField(models.CharField):  # type: ignore[type-arg]
    """Text that is equal byte for byte: MariaDB's default collation takes "Mail" for "mail", and ignores accents."""

    collations = {"mysql": "utf8mb4_bin", "postgresql": "C"}

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)
        collation = self.collations.get(connection.vendor)
        if collation:
            parameters["collation"] = collation
        return parameters


class DigestField(models.BinaryField):  # type: ignore[type-arg]
    """A SHA-256: 32 bytes that may stand in a unique index, which MySQL denies to a BLOB."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "mysql":
            return "binary(32)"
        return super().db_type(connection)
