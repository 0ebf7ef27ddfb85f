"""The Lua scripts, read from the package once."""

import functools
from importlib import resources


@functools.cache
def source(name: str) -> str:
    """Return the text of `lua/<name>.lua`."""
    return (resources.files("django_jobs.transports.redis") / "lua" / f"{name}.lua").read_text("utf-8")
