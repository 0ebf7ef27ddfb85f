"""The catalogue in the admin, to look at: only jobs write it."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from catalogue.models import Distribution, Measured, SourceFile

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
else:
    BaseAdmin = admin.ModelAdmin


class CatalogueAdmin(BaseAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="documented")
    def coverage(self, measured: Measured) -> str:
        return f"{measured.docstring_coverage:.0f} %"


@admin.register(Distribution)
class DistributionAdmin(CatalogueAdmin):
    list_display = ("name", "version", "file_count", "broken_count", "lines", "functions", "classes", "coverage")
    search_fields = ("name",)


@admin.register(SourceFile)
class SourceFileAdmin(CatalogueAdmin):
    list_display = ("path", "distribution", "lines", "functions", "classes", "imports", "coverage", "error")
    list_filter = (("error", admin.EmptyFieldListFilter), "distribution")
    list_select_related = ("distribution",)
    search_fields = ("path",)
