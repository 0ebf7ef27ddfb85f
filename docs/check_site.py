"""See that the build of the pages refuses what is broken, and that the pages ask no other host for anything."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (".mkdocs.yml", "CHANGELOG.md", "docs")
# What is broken -> what is written into which page for it, and what the build must say.
BROKEN = {
    "a link": ("transports.md", "[nowhere](nowhere.md)", "nowhere.md"),
    "a link to a heading": ("transports.md", "[no heading](settings.md#nothing)", "settings.md#nothing"),
    "a picture": ("transports.md", "![no picture](images/nothing.svg)", "images/nothing.svg"),
    "a page that no menu names": ("lonely.md", "# Lonely", "lonely.md"),
}
ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the pages of a copy. Not quietly: told to be quiet, MkDocs lets broken links pass."""
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", ".mkdocs.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def copy_to(folder: Path) -> Path:
    for name in SOURCES:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, folder / name)
    return folder


def check_that_whole_pages_pass(folder: Path) -> None:
    built = build(folder)
    assert built.returncode == 0, built.stderr
    for page in (folder / "build" / "docs").rglob("*.html"):
        asked = ELSEWHERE.findall(page.read_text())
        assert not asked, f"{page.name} asks elsewhere: {asked}"


def check_that_broken_pages_fail(folder: Path, what: str) -> None:
    name, text, named = BROKEN[what]
    page = folder / "docs" / name
    page.write_text(f"{page.read_text() if page.exists() else ''}\n{text}\n")
    built = build(folder)
    assert built.returncode == 1, f"The build let {what} pass that is broken: {built.stderr}"
    assert named in built.stderr, f"The build failed, but not for {what}: {built.stderr}"


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        check_that_whole_pages_pass(copy_to(Path(folder)))
    for what in BROKEN:
        with TemporaryDirectory() as folder:
            check_that_broken_pages_fail(copy_to(Path(folder)), what)
