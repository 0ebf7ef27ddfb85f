"""A strict Content-Security-Policy holds, and without scripts everything can be done all the same."""

import pytest
from django.urls import reverse

from tests.admin.every_page import put_rows, render

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def pages(admin_client):
    return render(admin_client, put_rows())


def test_no_page_carries_scripts_styles_or_handlers_of_its_own(pages):
    for name, page in pages.items():
        for tag, attrs in page.tags:
            assert tag != "style", name
            assert tag != "script" or attrs.get("src"), name
            assert not [each for each in attrs if each == "style" or each.startswith("on")], name


def test_nothing_comes_from_elsewhere(pages):
    for name, page in pages.items():
        for tag, attrs in page.tags:
            source = attrs.get("src") or (attrs.get("href") if tag == "link" else None)
            assert source is None or source.startswith("/static/") or source == reverse("admin:jsi18n"), name


def test_every_verb_is_a_real_button_in_a_form(pages):
    for name in ("filtered", "ready", "failed", "claimed", "queues"):
        page = pages[name]
        assert page.forms(), name
        buttons = [attrs for tag, attrs in page.tags if tag == "button" and attrs.get("name") == "action"]
        assert all(attrs["type"] == "submit" for attrs in buttons), name


def test_every_field_that_one_fills_in_has_a_label(pages):
    labelled = [attrs.get("for") for tag, attrs in pages["reprioritize"].tags if tag == "label"]
    (field,) = [
        attrs for tag, attrs in pages["reprioritize"].tags if tag == "input" and attrs.get("name") == "priority"
    ]
    assert field["id"] in labelled
    described = [attrs.get("id") for _, attrs in pages["reprioritize"].tags]
    assert field["aria-describedby"] in described
