"""Records on their way to a statement: by row or by column, in portions that are small enough for one."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

# Column name -> type, in the words of PostgreSQL; the other dialects translate.
Columns = dict[str, str]
Row = Sequence[Any]

# MySQL takes no statement above 16 MB unless told otherwise, and a character may take 14 bytes on its way there.
_MOST_CHARACTERS = 1_000_000
_MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Table:
    """Records by column: values that all of them share, and one value for each of the columns that are their own."""

    shared: Mapping[str, Any]
    own: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.own.values()), ()))

    def only(self) -> dict[str, Any]:
        """Return the values of its one record."""
        return {**self.shared, **{name: value for name, (value,) in self.own.items()}}

    def rows(self, places: Collection[int]) -> "Table":
        """Return the records at these places."""
        return Table(self.shared, {name: [values[place] for place in places] for name, values in self.own.items()})

    def halves(self) -> tuple["Table", "Table"]:
        middle = len(self) // 2
        return self.rows(range(middle)), self.rows(range(middle, len(self)))

    def portions(self, columns: Columns) -> list["Table"]:
        """Divide it into tables that are small enough for one statement each."""
        if len(self) == 1 or (len(self) <= _MOST_ROWS and self._characters(columns) <= _MOST_CHARACTERS):
            return [self]
        return [portion for half in self.halves() for portion in half.portions(columns)]

    def _characters(self, columns: Columns) -> int:
        texts = [values for name, values in self.own.items() if columns[name] == "text"]
        return sum([len(text) for values in texts for text in values if text])


def portions(columns: Columns, records: Iterable[Row]) -> Iterator[Sequence[Row]]:
    """Divide records into lists that are small enough for one statement each."""
    texts = [index for index, kind in enumerate(columns.values()) if kind == "text"]
    every_record = iter(records)
    while some := list(islice(every_record, _MOST_ROWS)):
        if sum([len(record[index] or "") for index in texts for record in some]) <= _MOST_CHARACTERS:
            yield some
            continue
        begin, characters = 0, 0
        for end, record in enumerate(some):
            size = sum([len(record[index] or "") for index in texts])
            if end > begin and characters + size > _MOST_CHARACTERS:
                yield some[begin:end]
                begin, characters = end, 0
            characters += size
        yield some[begin:]
