"""The translations are those of the sources: whole, with the placeholders of the originals, and compiled.

What is wrong is put right by `django-admin makemessages`, a translator, and `django-admin compilemessages`.
"""

import ast
import gettext
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import django
import pytest

import django_jobs

pytestmark = pytest.mark.once

PACKAGE = Path(django_jobs.__file__).parent
LANGUAGES = sorted(folder.name for folder in (PACKAGE / "locale").iterdir())
PLACEHOLDER = re.compile(r"%\(\w+\)\w|\{\w*\}|</?\w+")


@pytest.fixture(scope="module")
def tools() -> None:
    """The programs of GNU gettext."""
    if not shutil.which("msgcmp"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("gettext is missing: on Debian, apt install gettext")


def complaints(*command: object, cwd: Path) -> str:
    # Messages are collected from any folder, without a project.
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    words = [*map(str, command)]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return done.stderr or ("" if done.returncode == 0 else f"{command} failed")


def messages(file: Path) -> dict[str, list[str]]:
    """Return the translations of each message, of all its plurals."""
    with file.open("rb") as stream:
        catalog: dict[object, str] = vars(gettext.GNUTranslations(stream))["_catalog"]
    found: dict[str, list[str]] = {}
    for key, text in catalog.items():
        found.setdefault(str(key[0] if isinstance(key, tuple) else key), []).append(text)
    found.pop("")
    return found


def shipped(language: str, kind: str = "mo") -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES" / f"django.{kind}"


def test_there_are_german_and_french():
    assert {"de", "fr"} <= {*LANGUAGES}


@pytest.fixture(scope="module")
def template(tools, tmp_path_factory) -> Path:
    """The messages that the sources have now."""
    copy = tmp_path_factory.mktemp("messages") / "django_jobs"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("locale", "__pycache__"))
    (copy / "locale").mkdir()
    # -P: in this folder is a module `logging`, which must not be taken for Python's.
    makemessages = (sys.executable, "-P", "-m", "django", "makemessages", "--locale", "de", "--keep-pot")
    assert complaints(*makemessages, cwd=copy) == ""
    return copy / "locale" / "django.pot"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_of_the_sources_is_translated_and_no_other(language, template):
    # Fuzzy ones count as missing.
    assert complaints("msgcmp", shipped(language, "po"), template, cwd=template.parent) == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language, tools, tmp_path):
    compile = ("msgfmt", "--check", "-o", tmp_path / "django.mo", shipped(language, "po"))
    assert complaints(*compile, cwd=tmp_path) == ""
    assert messages(tmp_path / "django.mo") == messages(shipped(language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_placeholders_and_tags_of_its_message(language):
    for message, texts in messages(shipped(language)).items():
        for text in texts:
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(message)), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_of_django_reads_otherwise_where_these_translations_are_installed(language):
    """All apps share one catalogue; whoever comes first in INSTALLED_APPS wins."""
    ours = messages(shipped(language))
    for file in Path(django.__file__).parent.rglob(f"locale/{language}/LC_MESSAGES/django.mo"):
        theirs = messages(file)
        for message in ours.keys() & theirs.keys():
            assert ours[message] == theirs[message], f"{message!r} of {file}: give ours a context"


def test_every_text_that_the_code_translates_is_found():
    """What gettext's own reader of Python passes over, as what stands in an f-string, would stay English."""
    known = {each.rpartition("\x04")[2] for each in messages(shipped(LANGUAGES[0]))}
    for file in PACKAGE.rglob("*.py"):
        names = {"gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}
        tree = ast.parse(file.read_text())
        for each in (each for each in ast.walk(tree) if isinstance(each, ast.alias) and each.name in names):
            names |= {each.asname or each.name}
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names:
                text = call.args[1 if call.func.id.startswith("pgettext") else 0]
                assert isinstance(text, ast.Constant), f"{file}:{call.lineno}: gettext cannot read a computed text"
                assert text.value in known, f"{file}:{call.lineno}: {text.value!r}"
