"""Indexes that cover only the rows their query asks for, where the database can; their equal where it cannot."""

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement


class PartialIndex(models.Index):
    """An index over the rows of `only`; on MySQL and MariaDB over all rows, by the columns `otherwise`."""

    def __init__(self, *, only: models.Q, otherwise: tuple[str, ...], unique: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Not called `condition`: Django warns of conditions on databases without them, and here that is taken care of.
        self.only = only
        self.otherwise = tuple(otherwise)
        self.unique = unique

    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        path, arguments, kwargs = super().deconstruct()
        kwargs |= {"only": self.only, "otherwise": self.otherwise}
        if self.unique:
            kwargs["unique"] = True
        return path, arguments, kwargs

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Statement:
        if schema_editor.connection.features.supports_partial_indexes:
            index = models.Index(fields=self.fields, name=self.name, condition=self.only)
        else:
            index = models.Index(fields=self.otherwise, name=self.name)
        statement = index.create_sql(model, schema_editor, using=using, **kwargs)
        if self.unique:
            statement.template = statement.template.replace("CREATE INDEX", "CREATE UNIQUE INDEX", 1)
        return statement
