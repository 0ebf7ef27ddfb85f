"""What the documentation says of the code is what the code says."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_the_page_of_settings_is_current():
    script = runpy.run_path(str(ROOT / "docs" / "write_settings.py"))
    assert (ROOT / "docs" / "settings.md").read_text() == script["page"](), "Run: python docs/write_settings.py"


def test_no_link_between_pages_is_broken():
    pages = [*ROOT.glob("*.md"), ROOT / "example_project" / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, target) for page in pages for target in LINK.findall(page.read_text())]
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []
    assert links
