"""The pages in light, in dark and on a phone: legible, and no wider than the screen.

With DJANGO_JOBS_SCREENSHOTS=docs/images each is kept as a picture for the docs.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser import stage
from tests.browser.visits import JOBS, QUEUES, WORKERS, job_page

pytestmark = pytest.mark.django_db(transaction=True)

DESK = {"width": 1280, "height": 800}
SCREENS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}
# Of a picture.
LEAST_HEIGHT = 420
# WCAG 2, level AA, for text of usual size.
LEAST_CONTRAST = 4.5
# Every text of ours with the contrast to the ground that is behind it.
CONTRASTS = """() => {
  const parse = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [red * scale, green * scale, blue * scale, alpha];
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255, 1];
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  return [...document.querySelectorAll("[class*=jobs-]")].filter((each) => each.innerText && each.children.length == 0)
    .map((each) => {
      const values = [luminance(parse(getComputedStyle(each).color)), luminance(ground(each))];
      return [each.innerText, (Math.max(...values) + 0.05) / (Math.min(...values) + 0.05)];
    });
}"""


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_is_legible_and_fits_the_screen(visit, operator, settings, screen):
    # These workers beat once.
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "DEAD_AFTER_SECONDS": 60, "QUEUES": {"images": {}, "search": {}}}
    pages = {"job": job_page(stage.set_up()), "jobs": JOBS, "queues": QUEUES, "workers": WORKERS}
    visit = visit(operator, **SCREENS[screen])
    for name, place in pages.items():
        visit.open(place)
        keep_picture(visit.page, f"{name}-{screen}")
        visit.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        contrasts = visit.page.evaluate(CONTRASTS)
        assert [each for each in contrasts if each[1] < LEAST_CONTRAST] == [], name
        too_wide = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"{name} is {too_wide} pixels wider than the screen."


def keep_picture(page, name):
    folder = os.environ.get("DJANGO_JOBS_SCREENSHOTS")
    if folder:
        size = page.viewport_size
        # A window as high as the page: on a picture of more than the window the navigation stands somewhere in between,
        # and on one of less there is empty ground.
        page.set_viewport_size(size | {"height": LEAST_HEIGHT})
        page.set_viewport_size(size | {"height": page.evaluate("document.documentElement.scrollHeight")})
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size(size)
