"""What all pages share: rows are looked at, not edited, and no page counts a large table to its end."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.functional import cached_property

from django_jobs.conf import get_settings
from django_jobs.models.functions import DatabaseNow

# As far as a list reaches, and as far as it is searched where no index helps.
MOST_LISTED = 100_000


def grouped(number: float) -> str:
    """Return a number with its thousands apart, as the language of the page has them."""
    return number_format(number, force_grouping=True)


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the first `limit` rows; looks at one more to count them, unless it `counts_all`."""

    limit = MOST_LISTED
    counts_all = False

    @cached_property
    def count(self) -> int:
        return min(self._counted, self.limit)

    @property
    def has_more(self) -> bool:
        return self._counted > self.limit

    @property
    def shown_limit(self) -> str:
        return grouped(self.limit)

    @property
    def shown_count(self) -> str:
        """How many there are, as far as that is known."""
        return grouped(self._counted) if self.counts_all or not self.has_more else f"{self.shown_limit}+"

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        rows = rows.order_by()
        return rows.count() if self.counts_all else rows[: self.limit + 1].count()


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows of the job database. They are steered by verbs, each with a permission of its own."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # Any other order than an index's would sort the whole table.
    sortable_by = ()

    class Media:
        css = {"all": ["django_jobs/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add `seen_at`, the database's time: ages are told by the clock that wrote the times."""
        rows = super().get_queryset(request).using(get_settings().DATABASE)
        timed: QuerySet[Any] = rows.annotate(seen_at=DatabaseNow())
        return timed

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow our own filters: any other could look into columns that the user may not see, in every row."""
        return any(lookup == getattr(each, "parameter_name", None) for each in self.list_filter)

    def has_add_permission(self, request: HttpRequest, *args: object) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def may(self, request: HttpRequest, verb: str) -> bool:
        """Tell whether the user may see these rows and has the permission of the verb."""
        permission = f"{self.opts.app_label}.{get_permission_codename(verb, self.opts)}"
        return self.has_view_permission(request) and request.user.has_perm(permission)
