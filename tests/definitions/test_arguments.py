"""What travels as JSON, and how what does not is told: by its path."""

import datetime
import enum
import json
import random
import uuid
from collections import OrderedDict, defaultdict, deque
from decimal import Decimal
from types import MappingProxyType

import pytest
from django.db.models import TextChoices
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from django_jobs.definitions.arguments import (
    DEEPEST,
    arguments_digest,
    clean_bytes,
    clean_text,
    decode_call,
    encode_call,
    encode_result,
    key_digest,
)
from django_jobs.errors import InvalidArguments, PayloadTooLarge
from django_jobs.models import Job

ROOM = 10_000_000


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Kind(TextChoices):
    NEW = "new", "New"


class Exact(float):
    pass


def travelled(value):
    """Return what arrives of one argument, and that a result arrives just so."""
    (arrived,), _ = decode_call(encode_call([value], {}, limit=ROOM))
    result = encode_result(value, limit=ROOM)
    assert arrived == (None if result is None else json.loads(result))
    return arrived


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63,
        10**4000,
        0.1,
        -1e300,
        "",
        "é 😀 \u2028 \x01",
        [],
        {},
        [[1], {"a": [None]}],
        {"": 0},
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_plain_data_arrives_as_it_was(value):
    arrived = travelled(value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, (2,)), [1, [2]]),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Size.LARGE, 3),
        (Kind.NEW, "new"),
        ({Kind.NEW: 1}, {"new": 1}),
        (Exact(1.5), 1.5),
        (mark_safe("<b>"), "<b>"),
        (gettext_lazy("Yes"), "Yes"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC), "2026-01-02T03:04:05.678Z"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(days=1, seconds=2), "P1DT00H00M02S"),
        (Decimal("1.10"), "1.10"),
        (Decimal("NaN"), "NaN"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_has_a_meaning_in_json_arrives_as_that(value, arrives):
    assert travelled(value) == arrives


REFUSED = [
    (float("nan"), "is nan, which JSON does not know"),
    (float("-inf"), "is -inf, which JSON does not know"),
    (Exact("inf"), "is inf, which JSON does not know"),
    ("a\0b", "holds a NUL character, which databases refuse: 'a\\x00b'"),
    ("\ud800", "holds a lone surrogate, which is no text"),
    (lazystr("\0"), "holds a NUL character"),
    (lazystr("\udfff"), "holds a lone surrogate"),
    (b"x", "is b'x', which cannot travel as JSON. Decode it to text, or store it and pass its key."),
    (bytearray(b"x"), "cannot travel as JSON. Decode it to text"),
    (memoryview(b"x"), "cannot travel as JSON. Decode it to text"),
    ({1, 2}, "is {1, 2}, which cannot travel as JSON. Pass a sorted list."),
    (frozenset("a"), "cannot travel as JSON. Pass a sorted list."),
    (Colour.RED, "is <Colour.RED: 'red'>, which cannot travel as JSON."),
    (object, "is <class 'object'>, which cannot travel as JSON."),
    (deque([1]), "is deque([1]), which cannot travel as JSON."),
    (range(3), "is range(0, 3), which cannot travel as JSON."),
    (1j, "is 1j, which cannot travel as JSON."),
    (Job(name="shop.send"), "which cannot travel as JSON. Pass its primary key and load it in the job."),
    (Job.objects.all(), "cannot travel as JSON. Pass a list of primary keys."),
    (datetime.time(3, 4, tzinfo=datetime.UTC), "JSON can't represent timezone-aware times."),
    ({1: 2}, "has the key 1, but JSON keys are text. Pass str keys."),
    ({None: 2}, "has the key None, but JSON keys are text."),
    ({True: 2}, "has the key True, but JSON keys are text."),
    ({b"a": 2}, "has the key b'a', but JSON keys are text."),
    ({(1, 2): 2}, "has the key (1, 2), but JSON keys are text."),
    ({"a\0": 2}, "key holds a NUL character"),
    ({"\ud800": 2}, "key holds a lone surrogate"),
    (10**5000, "is a whole number of 16,610 bits. Pass it as a text in hex."),
    (Size(3) + 10**5000, "is a whole number of 16,610 bits"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda value: ascii(type(value).__name__))
@pytest.mark.parametrize(
    ("place", "path"),
    [
        (lambda value: ([value], {}), "args[0]"),
        (lambda value: ([1, 2, value], {}), "args[2]"),
        (lambda value: ([], {"order": value}), "kwargs['order']"),
        (lambda value: ([{"a": [0, {"b": value}]}], {}), "args[0]['a'][1]['b']"),
        (lambda value: ([1], {"x": ((value,),)}), "kwargs['x'][0][0]"),
    ],
    ids=["first", "third", "keyword", "deep", "in tuples"],
)
def test_what_cannot_travel_is_told_by_its_path(value, message, place, path):
    args, kwargs = place(value)
    with pytest.raises(InvalidArguments) as caught:
        encode_call(args, kwargs, limit=ROOM)
    assert str(caught.value).startswith(f"{path} ")
    assert message in str(caught.value)


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda value: ascii(type(value).__name__))
def test_a_result_that_cannot_travel_is_told_alike(value, message):
    with pytest.raises(InvalidArguments) as caught:
        encode_result([{"a": value}], limit=ROOM)
    assert str(caught.value).startswith("result[0]['a'] ")
    assert message in str(caught.value)


def test_a_long_value_is_shown_by_its_beginning():
    with pytest.raises(InvalidArguments) as caught:
        encode_call([set(range(1000))], {}, limit=ROOM)
    assert len(str(caught.value)) < 200


class Unshowable:
    def __repr__(self):
        raise RuntimeError("I cannot be shown.")


def test_a_value_that_cannot_be_shown_is_told_all_the_same():
    with pytest.raises(InvalidArguments, match=r"args\[0\] is <Unshowable>, which cannot travel"):
        encode_call([Unshowable()], {}, limit=ROOM)


def nested(levels, inner=1):
    value = inner
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_nested_too_deep_is_told():
    assert travelled(nested(DEEPEST)) == nested(DEEPEST)
    with pytest.raises(InvalidArguments, match=f"is nested more than {DEEPEST} deep. Store the data and pass its key"):
        encode_call([nested(DEEPEST + 1)], {}, limit=ROOM)


def test_what_holds_itself_is_told():
    endless: dict[str, object] = {}
    endless["me"] = [endless]
    with pytest.raises(InvalidArguments, match="is nested more than"):
        encode_call([endless], {}, limit=ROOM)


@pytest.mark.parametrize("text", ["x", "ä", "€", "😀", '"', "\\", "\n", "\x01", "\u2028"])
def test_the_size_is_counted_in_bytes_of_utf8(text):
    size = len(json.dumps([[text * 50], {}], ensure_ascii=False, separators=(",", ":")).encode())
    assert len(encode_call([text * 50], {}, limit=size).encode()) == size
    with pytest.raises(PayloadTooLarge, match=f"The arguments take {size} bytes as JSON, and {size - 1} are allowed"):
        encode_call([text * 50], {}, limit=size - 1)
    alone = size - len("[[],{}]")
    assert encode_result(text * 50, limit=alone) is not None
    with pytest.raises(PayloadTooLarge, match=f"The result takes {alone} bytes as JSON, and {alone - 1} are allowed"):
        encode_result(text * 50, limit=alone - 1)


def test_nothing_costs_nothing():
    assert encode_call([], {}, limit=7) == "[[],{}]"
    assert encode_result(None, limit=0) is None


def test_the_order_of_arguments_is_kept():
    text = encode_call([{"b": 1, "a": 2}], {"z": 1, "y": 2}, limit=ROOM)
    assert text == '[[{"b":1,"a":2}],{"z":1,"y":2}]'


VALUES: list[object] = [
    2**14_000 - 1,
    1 - 2**14_000,
    *(
        sign * (2**bits + near)
        for bits in (0, 7, 31, 53, 63, 64, 65, 1_000, 13_999)
        for sign in (1, -1)
        for near in (-1, 0, 1)
    ),
    True,
    False,
    None,
    *(0.0, -0.0, 0.1, 1.0, -1e300, 5e-324, 1e22, 123456789.123456789),
    *("", "plain", '"', "\\", "\\u0041", "/", "'", "\n\r\t\b\f", "\x01\x1f\x7f\x80\x9f", "</script>", "%s {}"),
    *("ünïcödé", "\u2028\u2029", "\ufeff\ufffe\uffff", "😀🏳️‍🌈", 'ä"\\\n', "e\u0301", "\ud7ff\ue000", "\U0010ffff"),
    *([], {}, [[]], [{}], {"": []}, [[1, -2.5, None], ["a", "ä", {"b": [True, {"ç": '"'}]}]]),
    {"a": 1, "": 2, "ü": 3, '"': 4, "\n": 5, "z": {"y": {"x": [0]}}},
]
NAMES = ["a", "_", "naïve", "größe", "名前", 'a "b"', "\n", "", "\\", "😀", "class"]


def in_json(args: list[object], kwargs: dict[str, object]) -> str:
    return json.dumps([args, kwargs], ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:30])
def test_each_value_is_written_as_json_writes_it(value: object):
    assert encode_call([value], {}, limit=ROOM) == in_json([value], {})
    for name in NAMES:
        assert encode_call([], {name: value}, limit=ROOM) == in_json([], {name: value})


@pytest.mark.parametrize("seed", range(50))
def test_values_side_by_side_are_written_as_json_writes_them(seed: int):
    dice = random.Random(seed)
    args = dice.choices(VALUES, k=dice.randrange(9))
    kwargs = {name: dice.choice(VALUES) for name in dice.sample(NAMES, dice.randrange(len(NAMES)))}
    text = encode_call(args, kwargs, limit=ROOM)
    assert text == in_json(args, kwargs)
    assert decode_call(text) == (args, kwargs)
    arrived = decode_call(text)[0]
    assert [type(each) for each in arrived] == [type(each) for each in args]


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"

    __repr__ = __str__


class Many(int):
    def __repr__(self) -> str:
        return "many"

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0, "0"),
        (Size.LARGE, "3"),
        (Many(5), "5"),
        (Kind.NEW, '"new"'),
        (Loud('a "word"'), '"a \\"word\\""'),
        (mark_safe("<b>ä</b>"), '"<b>ä</b>"'),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_of_a_kind_of_its_own_is_written_as_what_it_is(value: object, text: str):
    assert encode_call([value], {"it": value}, limit=ROOM) == f'[[{text}],{{"it":{text}}}]'


def test_a_name_of_a_kind_of_its_own_is_written_as_its_text():
    kwargs = {Kind.NEW: 1, mark_safe("safe"): 2, Loud("quiet"): 3}
    assert encode_call([], kwargs, limit=ROOM) == '[[],{"new":1,"safe":2,"quiet":3}]'


@pytest.mark.parametrize("text", ["[[],{},1]", "[[]]", "[{},[]]", "{}", "1", "null", "", "x"])
def test_a_text_that_is_no_call_is_told(text):
    with pytest.raises((ValueError, TypeError)):
        decode_call(text)


@pytest.mark.parametrize("behind", ["x", " ", "\n", "[[],{}]", "]"], ids=ascii)
def test_a_call_with_something_behind_it_is_told(behind):
    assert decode_call("[[1],{}]") == ([1], {})
    with pytest.raises(ValueError, match=r"^Behind the stored arguments something follows\.$"):
        decode_call(f"[[1],{{}}]{behind}")


def test_digests_of_calls_are_equal_where_calls_are():
    def digest(*args, **kwargs):
        return arguments_digest(encode_call(args, kwargs, limit=ROOM))

    assert digest(a=1, b={"x": 1, "y": 2}) == digest(b={"y": 2, "x": 1}, a=1)
    calls = [
        digest(),
        digest(1),
        digest(1.0),
        digest("1"),
        digest(True),
        digest([1]),
        digest(a=1),
        digest(None),
        digest(1, 1),
    ]
    assert len(set(calls)) == len(calls)


def test_a_key_belongs_to_its_name():
    assert len(key_digest("a", "b")) == 32
    assert key_digest("a", "b") == key_digest("a", "b")
    pairs = [("a", "b"), ("ab", ""), ("", "ab"), ("a", "B"), ("A", "b"), ("a", "b "), ("a", "\u00e9"), ("a", "e\u0301")]
    assert len({key_digest(*pair) for pair in pairs}) == len(pairs)


def test_a_text_is_cleaned_so_that_any_database_takes_it():
    assert clean_text("é\0\ud800😀") == "é\\x00\\ud800😀"
    assert clean_text("x" * 100, 100) == "x" * 100
    cut = clean_text("a" * 1000 + "b" * 1000, 100)
    assert len(cut) <= 100
    assert cut.startswith("aaa")
    assert cut.endswith("bbb")
    assert "[... cut ...]" in cut
    assert len(clean_text("\ud800" * 100, 100)) <= 100


def test_a_text_that_takes_too_many_bytes_is_cut_in_the_middle_and_says_by_how_many():
    assert clean_bytes("é\0\ud800😀", 1000) == "é\\x00\\ud800😀"
    assert clean_bytes("é" * 50, 100) == "é" * 50
    cut = clean_bytes("a" * 5000 + "b" * 5000, 1000)
    assert len(cut.encode()) <= 1000
    begin, note, end = cut.split("\n")
    assert (set(begin), set(end)) == ({"a"}, {"b"})
    assert note == f"[... {10_000 - len(begin) - len(end):,} bytes cut ...]"


@pytest.mark.parametrize("limit", range(1024, 1032))
def test_no_character_is_cut_in_two(limit):
    cut = clean_bytes("😀é" * 1000, limit)
    assert limit - 10 < len(cut.encode()) <= limit
    assert set(cut.partition("\n")[0]) == {"😀", "é"}
