"""The catalogue: what is installed, and what its files measure."""

from django.db import models


class Measured(models.Model):
    """The measures of a file, or of all files of a distribution."""

    lines = models.PositiveIntegerField(default=0)
    functions = models.PositiveIntegerField(default=0)
    classes = models.PositiveIntegerField(default=0)
    imports = models.PositiveIntegerField(default=0)
    # Modules, classes and functions; and those of them that have a docstring.
    documentable = models.PositiveIntegerField(default=0)
    documented = models.PositiveIntegerField(default=0)

    class Meta:
        abstract = True

    @property
    def docstring_coverage(self) -> float:
        """The share that is documented, in percent."""
        return 100 * self.documented / self.documentable if self.documentable else 0.0


MEASURES = ("lines", "functions", "classes", "imports", "documentable", "documented")


class Distribution(Measured):
    """An installed distribution; the interpreter's own library is one more."""

    name = models.CharField(max_length=200, unique=True)
    version = models.CharField(max_length=100)
    # Counts how often its set of files was another than before.
    edition = models.PositiveIntegerField(default=0)
    # The edition that the measures are of; they are old when it is another one.
    summarised_edition = models.PositiveIntegerField(default=0)
    file_count = models.PositiveIntegerField(default=0)
    broken_count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def is_summarised(self) -> bool:
        return self.summarised_edition == self.edition


class SourceFile(Measured):
    """One content of one file. Another content is another row, so what was measured once stays true for ever."""

    digest = models.CharField("SHA-256 of path and content", max_length=64, primary_key=True)
    path = models.TextField()
    # None: the file is gone or has another content by now. It may come back.
    distribution = models.ForeignKey(Distribution, models.SET_NULL, null=True, related_name="files")
    measured_at = models.DateTimeField(null=True)
    # Why it could not be measured.
    error = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        # "Is any file of this distribution still to be measured?" is asked after each of them.
        indexes = [models.Index(fields=["distribution", "measured_at"], name="catalogue_open")]

    def __str__(self) -> str:
        return self.path
