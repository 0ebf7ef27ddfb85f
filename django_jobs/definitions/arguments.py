"""Arguments become JSON text once, in the caller's stack; what cannot travel fails there, named by its path."""

import datetime
import decimal
import hashlib
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring as _quote
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet
from django.utils.functional import Promise

from django_jobs.errors import InvalidArguments, PayloadTooLarge

DEEPEST = 64
MOST_HEADER_BYTES = 8 * 1024
_CUT = "\n[... cut ...]\n"
_CUT_BYTES = "\n[... {:,} bytes cut ...]\n"

_PLAIN_INT = 1 << 64
_PLAIN = (str, int, float, bool, type(None))
_BY_DJANGO = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, Promise)
# Made once: json.dumps makes an encoder for every call that is not in its own style.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_by_django = DjangoJSONEncoder().default
# json.loads would look for space on both sides first, where there is none.
_decode = json.JSONDecoder().raw_decode


def encode_call(args: Sequence[object], kwargs: Mapping[str, object], *, limit: int) -> str:
    """Return the JSON text `[[args], {kwargs}]`, at most `limit` bytes in UTF-8.

    Dates, times, decimals and UUIDs become text by the rules of Django's encoder. Raises InvalidArguments that
    names the path of what cannot travel, and PayloadTooLarge.
    """
    values = [_scalar(value) or _encode(_plain(value, f"args[{index}]", 1)) for index, value in enumerate(args)]
    named = [
        f"{_quote(_text(name, 'A keyword'))}:{_scalar(value) or _encode(_plain(value, f'kwargs[{name!r}]', 1))}"
        for name, value in kwargs.items()
    ]
    return _sized(
        f"[[{','.join(values)}],{{{','.join(named)}}}]",
        "The arguments take",
        limit,
        "Store the data and pass its key, or raise MAX_PAYLOAD_BYTES.",
    )


def decode_call(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the args and kwargs of a text that `encode_call` made. Raises ValueError for any other."""
    call, end = _decode(text)
    if end != len(text):
        raise ValueError("Behind the stored arguments something follows.")
    args, kwargs = call
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ValueError("The stored arguments are no list and dict.")
    return args, kwargs


def encode_result(value: object, *, limit: int, what: str = "result") -> str | None:
    """Return the JSON text of a return value; None for None, which costs no bytes. Raises InvalidArguments."""
    if value is None:
        return None
    return encode_value(
        value, what, limit=limit, advice="Store the data and return its key, or raise MAX_RESULT_BYTES."
    )


def encode_value(value: object, path: str, *, limit: int, advice: str) -> str:
    """Return the JSON text of any value, which errors call by its path. Raises InvalidArguments, PayloadTooLarge."""
    return _sized(_encode(_plain(value, path, 1)), f"The {path} takes", limit, advice)


def encode_headers(headers: Mapping[str, object]) -> str:
    """Return the JSON text of what middleware sends along, empty for nothing. Raises InvalidArguments."""
    if not headers:
        return ""
    text = json.dumps(_plain(headers, "headers", 1), ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode())
    if size > MOST_HEADER_BYTES:
        raise PayloadTooLarge(
            f"The headers {sorted(headers)} take {size:,} bytes as JSON, and {MOST_HEADER_BYTES:,} are allowed. "
            "Let the middleware send a key along, not the data."
        )
    return text


def decode_headers(text: str) -> dict[str, Any]:
    """Return the headers of a text that `encode_headers` made."""
    return json.loads(text) if text else {}


def arguments_digest(text: str) -> bytes:
    """Return a SHA-256 that is equal for equal calls, whatever the order of their keyword arguments."""
    return hashlib.sha256(json.dumps(json.loads(text), sort_keys=True).encode()).digest()


def key_digest(name: str, key: str) -> bytes:
    """Return the SHA-256 of an idempotency key, which belongs to the job's name."""
    return hashlib.sha256(f"{name}\0{key}".encode()).digest()


def deduplication_digest(name: str, key: str | None, arguments: str) -> bytes:
    """Return the SHA-256 of a deduplication key, which belongs to the job's name; without one, of the arguments."""
    what = key.encode() if key is not None else b"\0" + arguments_digest(arguments)
    return hashlib.sha256(b"deduplicate\0" + name.encode() + b"\0" + what).digest()


def clean_text(text: str, limit: int = 100_000) -> str:
    """Return `text` as every database takes it: no NUL, no lone surrogates, at most `limit` characters."""
    # Cut twice: a text may be huge, and what is replaced grows.
    return _cut(_encoded(_cut(text, limit)).decode(), limit)


def clean_bytes(text: str, limit: int) -> str:
    """Return `text` as every database takes it, at most `limit` bytes in UTF-8: from the middle the rest is cut."""
    raw = _encoded(text)
    if len(raw) <= limit:
        return raw.decode()
    # A note about all of it is no shorter than the one about what is missing.
    half = (limit - len(_CUT_BYTES.format(len(raw)))) // 2
    begin, end = (part.decode(errors="ignore") for part in (raw[:half], raw[-half:]))
    return begin + _CUT_BYTES.format(len(raw) - len(begin.encode()) - len(end.encode())) + end


def _encoded(text: str) -> bytes:
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")


def _scalar(value: object) -> str | None:
    """Return the JSON text of a value that is plain at first sight, as nearly all are; None of any other.

    An encoder costs ten times as much.
    """
    kind = type(value)
    if kind is int:
        return repr(value) if -_PLAIN_INT < value < _PLAIN_INT else None  # type: ignore[operator]
    if kind is str:
        return _quote(value) if value.isascii() and "\0" not in value else None  # type: ignore[attr-defined,operator,arg-type]
    if value is None:
        return "null"
    return ("true" if value else "false") if kind is bool else None


def _sized(text: str, what: str, limit: int, advice: str) -> str:
    size = len(text) if text.isascii() else len(text.encode())
    if size > limit:
        raise PayloadTooLarge(f"{what} {size:,} bytes as JSON, and {limit:,} are allowed. {advice}")
    return text


def _cut(text: str, limit: int) -> str:
    half = (limit - len(_CUT)) // 2
    return text if len(text) <= limit else text[:half] + _CUT + text[-half:]


def _plain(value: object, path: str, depth: int) -> object:
    """Return `value` as JSON knows it; the exact types first, for they are nearly all that ever comes."""
    kind = type(value)
    if kind is int or kind is bool or value is None:
        return value if kind is not int else _whole_number(value, path)  # type: ignore[arg-type]
    if kind is str:
        return _text(value, path)  # type: ignore[arg-type]
    if kind is float:
        return _number(value, path)  # type: ignore[arg-type]
    if depth > DEEPEST:
        raise InvalidArguments(f"{path} is nested more than {DEEPEST} deep. Store the data and pass its key.")
    if isinstance(value, Mapping):
        return _mapping(value, path, depth)
    if isinstance(value, list | tuple):
        return [_plain(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value)]
    if isinstance(value, _PLAIN):  # subclasses: enumerations, safe strings
        return _plain_base(value, path)
    if isinstance(value, _BY_DJANGO):
        return _as_text(value, path)
    raise InvalidArguments(f"{path} is {shown(value)}, which cannot travel as JSON.{_advice(value)}")


def _as_text(value: object, path: str) -> str:
    try:
        return _text(str(_encode_by_django(value)), path)
    except ValueError as error:  # a time of day with a zone
        raise InvalidArguments(f"{path} is {shown(value)}, which cannot travel. {error}") from None


def _plain_base(value: object, path: str) -> object:
    if isinstance(value, str):
        return _text(str.__str__(value), path)
    if isinstance(value, int):
        return _whole_number(int(value), path)
    return _number(float(value), path)  # type: ignore[arg-type]


def _mapping(value: Mapping[object, object], path: str, depth: int) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, each in value.items():
        if not isinstance(key, str):
            raise InvalidArguments(f"{path} has the key {shown(key)}, but JSON keys are text. Pass str keys.")
        result[_text(str.__str__(key), f"{path} key")] = _plain(each, f"{path}[{key!r}]", depth + 1)
    return result


def _text(value: str, path: str) -> str:
    if "\0" in value:
        raise InvalidArguments(f"{path} holds a NUL character, which databases refuse: {shown(value)}.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArguments(f"{path} holds a lone surrogate, which is no text: {shown(value)}.") from None
    return value


def _number(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise InvalidArguments(f"{path} is {value!r}, which JSON does not know. Pass None or a text.")
    return value


def _whole_number(value: int, path: str) -> int:
    # Python refuses to read a number of more than 4,300 digits back, for it would take too long.
    if value.bit_length() > 14_000:
        raise InvalidArguments(f"{path} is a whole number of {value.bit_length():,} bits. Pass it as a text in hex.")
    return value


def shown(value: object) -> str:
    """Return a value as an error message shows it: the beginning of its repr."""
    if isinstance(value, QuerySet):
        return f"a queryset of {value.model.__name__}"  # its repr asks the database
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _advice(value: object) -> str:
    if isinstance(value, Model):
        return " Pass its primary key and load it in the job."
    if isinstance(value, QuerySet):
        return " Pass a list of primary keys."
    if isinstance(value, bytes | bytearray | memoryview):
        return " Decode it to text, or store it and pass its key."
    if isinstance(value, set | frozenset):
        return " Pass a sorted list."
    return ""
