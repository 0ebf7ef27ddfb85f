"""In another language no page has a text of ours that stayed English."""

import re
from pathlib import Path

import django
import pytest

from django_jobs.definitions.registry import job_names, queue_names
from tests.admin.every_page import put_rows, render

pytestmark = [pytest.mark.django_db, pytest.mark.once]

SPOKEN = ("alt", "aria-label", "placeholder", "title")
# Names, values, units, and what other apps show in the navigation.
DATA = "samples.note default mail here admin customer args kwargs builtins.ValueError ValueError min ms True False"
DATA += " Catalogue Distributions Source files Id"
# Words of ours that the language has too.
SHARED = {"de": "Jobs Name Sandbox Sandboxes Starts Version Worker", "fr": "Action Version Worker Workers workers"}
IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What is not translated yet in Django itself is not our business.
OF_DJANGO = [each.read_text() for each in Path(django.__file__).parent.rglob("locale/en/LC_MESSAGES/django.po")]


def texts(page):
    """Return what a page says: its pieces of text, its buttons, and the attributes that are read aloud."""
    said = [*page.pieces]
    for tag, attrs in page.tags:
        said += [text for name in SPOKEN if (text := attrs.get(name))]
        said += [attrs["value"]] if tag == "input" and attrs.get("type") == "submit" else []
    return {" ".join(each.split()) for each in said}


@pytest.mark.parametrize("code", ["de", "fr"])
def test_what_reads_as_in_english_is_data(admin_client, settings, code):
    put = put_rows()
    english = render(admin_client, put)
    settings.LANGUAGE_CODE = code
    translated = render(admin_client, put)
    # Which queues are declared depends on what this process has imported.
    declared = re.findall(r"[A-Za-z][\w.]+", " ".join((*queue_names(), *job_names())))
    known = {*DATA.split(), *SHARED[code].split(), *declared}
    for name, page in translated.items():
        for text in texts(page) & texts(english[name]):
            words = re.findall(r"[A-Za-z][\w.]+", IDENTIFIER.sub("", text))
            is_djangos = any(f'"{text}"' in each for each in OF_DJANGO)
            assert is_djangos or {*words} <= known, f"{text!r} on the page {name!r}"
