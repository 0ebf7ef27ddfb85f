"""Settings of a project that uses psycopg's pool."""

from tests.worker_settings import *  # noqa: F403
from tests.worker_settings import DATABASES as WITHOUT_POOL

SIZE = 3
# Who gets no connection is to fail while the test still waits.
POOL = {"min_size": 0, "max_size": SIZE, "timeout": 10}
DATABASES = {**WITHOUT_POOL, "default": {**WITHOUT_POOL["default"], "OPTIONS": {"pool": POOL}}}
