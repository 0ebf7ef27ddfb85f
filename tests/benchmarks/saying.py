"""What progress() and log() cost a body, for one call: python -m tests.benchmarks.saying

No database is asked: both only keep what is said, and the worker writes it now and then.
"""

import os
import timeit

CALLS = 100_000
ROUNDS = 7


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    from django_jobs.execution.execute import make_context
    from tests.samples import note
    from tests.worker.claims import claim

    context = make_context(claim(note), [], {})
    acts = {
        "progress(n)": lambda: context.progress(3),
        "progress(n, total, message)": lambda: context.progress(3, 100, "loading"),
        'progress({"phase": ...})': lambda: context.progress({"phase": "loading", "files": 3}),
        "log(text)": lambda: context.log("a line of forty characters, more or less"),
        "an empty function": lambda: None,
    }
    for name, act in acts.items():
        best = min(timeit.repeat(act, number=CALLS, repeat=ROUNDS)) / CALLS
        print(f"{name:30} {best * 1e9:8,.0f} ns a call")


if __name__ == "__main__":
    main()
