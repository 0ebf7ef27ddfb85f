"""Lets all that a worker process writes end where nothing can be written. Its supervisor is spared."""

import os
import sys

if sys.argv[0] == "-c":
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sys.stdout.fileno())
    os.dup2(full, sys.stderr.fileno())
