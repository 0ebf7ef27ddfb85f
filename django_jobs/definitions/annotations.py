"""Arguments travel as text where JSON has no type for them, and come back as what the function's annotations ask for:
dates, times, durations, decimals and UUIDs, alone, optional, or in lists and dicts. All else stays as it came.
"""

import datetime
import decimal
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from inspect import BoundArguments, Parameter
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from django.utils.dateparse import parse_duration

from django_jobs.definitions.arguments import shown
from django_jobs.definitions.registry import JobSpec
from django_jobs.errors import InvalidArguments

# Takes a value that arrived, or one that is on its way; raises ValueError for one that is of no use.
Reader = Callable[[Any], Any]

_LISTS: set[object] = {list, Sequence, Collection, Iterable}
_DICTS: set[object] = {dict, Mapping}


def read_arguments(spec: JobSpec, bound: BoundArguments) -> None:
    """Put the values that the function asks for in the place of their texts.

    Raises InvalidArguments that names the parameter whose value is none of what it asks for.
    """
    for name, reader in _readers(spec).items():
        if name not in bound.arguments:
            continue
        value = bound.arguments[name]
        try:
            match spec.signature.parameters[name].kind:
                case Parameter.VAR_POSITIONAL:
                    bound.arguments[name] = tuple(map(reader, value))
                case Parameter.VAR_KEYWORD:
                    bound.arguments[name] = {key: reader(each) for key, each in value.items()}
                case _:
                    bound.arguments[name] = reader(value)
        except (ValueError, TypeError, ArithmeticError):
            hidden = name in spec.sensitive
            annotation = spec.signature.parameters[name].annotation
            raise InvalidArguments(
                f"{spec.name} asks for {name} as {getattr(annotation, '__name__', annotation)}, which "
                f"{'its value' if hidden else shown(value)} is not."
            ) from None


def asks_for_types(spec: JobSpec) -> bool:
    """Tell whether any parameter asks for a type that JSON does not have. Most jobs have none."""
    return bool(_readers(spec))


@lru_cache(maxsize=4096)
def _readers(spec: JobSpec) -> dict[str, Reader]:
    """Return how to read the values of those parameters that ask for such a type. Most jobs have none."""
    found = {}
    for name, parameter in spec.signature.parameters.items():
        reader = _reader(_resolved(parameter.annotation, spec.function.__globals__))
        if reader is not None:
            found[name] = reader
    return found


def _resolved(annotation: object, namespace: dict[str, Any]) -> object:
    """Return an annotation that is a text as what it means; None if only type checkers know that."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), globalns=namespace)["it"]
    except Exception:
        return None


def _reader(annotation: object) -> Reader | None:
    try:
        plain = _READERS.get(annotation)
    except TypeError:  # what cannot be looked up, such as Annotated[str, {}], is none of them
        return None
    if plain is not None:
        return plain
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        others = [each for each in inner if each is not NoneType]
        # Of several types a text could be any.
        return _reader(others[0]) if len(others) == 1 else None
    if not inner:  # typing.List alone says nothing of what is in it
        return None
    if origin in _LISTS and (element := _reader(inner[0])) is not None:
        return _list_reader(element)
    if origin in _DICTS and (value := _reader(inner[1])) is not None:
        return _dict_reader(value)
    return None


def _list_reader(element: Reader) -> Reader:
    return _reader_of_many(list | tuple, lambda values: [element(each) for each in values])


def _dict_reader(value: Reader) -> Reader:
    return _reader_of_many(Mapping, lambda values: {key: value(each) for key, each in values.items()})


def _reader_of_many(kinds: Any, read_all: Reader) -> Reader:
    def read(values: Any) -> Any:
        if values is not None and not isinstance(values, kinds):
            raise ValueError(values)
        return None if values is None else read_all(values)

    return read


def _reader_of(kind: type, from_text: Callable[[str], Any]) -> Reader:
    def read(value: Any) -> Any:
        if value is None or isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise ValueError(value)
        found = from_text(value)
        if found is None:
            raise ValueError(value)
        return found

    return read


def _decimal(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return decimal.Decimal(str(value))
    return _decimal_of_text(value)


def _date(value: Any) -> Any:
    if isinstance(value, datetime.datetime):  # a date to Python, but its text is read back as none
        raise ValueError(value)
    return _date_of_text(value)


_date_of_text = _reader_of(datetime.date, datetime.date.fromisoformat)
_decimal_of_text = _reader_of(decimal.Decimal, decimal.Decimal)

_READERS: dict[object, Reader] = {
    datetime.datetime: _reader_of(datetime.datetime, datetime.datetime.fromisoformat),
    datetime.date: _date,
    datetime.time: _reader_of(datetime.time, datetime.time.fromisoformat),
    datetime.timedelta: _reader_of(datetime.timedelta, parse_duration),
    decimal.Decimal: _decimal,
    uuid.UUID: _reader_of(uuid.UUID, uuid.UUID),
}
