"""What people may see of a call: the arguments that its job calls sensitive are not among it."""

from collections.abc import Sequence
from inspect import Parameter
from typing import Any

from django_jobs.definitions.batches import likeness
from django_jobs.definitions.registry import JobSpec, get_spec
from django_jobs.errors import UnknownJob

HIDDEN = "[hidden]"
# Stands for what the function returns, as in its annotations.
RESULT = "return"


def shown_call(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a job of this name with the sensitive ones hidden, whichever way they were passed.

    A job that nobody has registered here declares none.
    """
    spec = _spec(name)
    if spec is None or not spec.sensitive:
        return list(args), kwargs
    positions = _positions(spec, len(args))
    shown = [HIDDEN if positions[index] in spec.sensitive else value for index, value in enumerate(args)]
    return shown, {key: HIDDEN if key in spec.sensitive else value for key, value in kwargs.items()}


def shown_likeness(name: str, arguments: str) -> str | None:
    """Return by what a job of this name is alike those that it may share a batch with; None if by nothing.

    `arguments` is the stored text. Raises InvalidArguments where it cannot be told.
    """
    spec = _spec(name)
    if spec is None or spec.batch is None or spec.batch.alike is None:
        return None
    alike = spec.batch.alike
    if not isinstance(alike, str):
        # What a callable makes of the arguments may tell any of them.
        return HIDDEN if spec.sensitive - {RESULT} else likeness(spec.batch, name, arguments)
    return f"{alike}={HIDDEN if alike in spec.sensitive else likeness(spec.batch, name, arguments)}"


def shown_result(name: str, result: Any) -> Any:
    """Return the result of a job of this name, or that it is hidden."""
    spec = _spec(name)
    return HIDDEN if spec is not None and RESULT in spec.sensitive and result is not None else result


def shown_data(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return what a job of this name has saved, with what has the name of a sensitive argument hidden."""
    spec = _spec(name)
    sensitive = frozenset() if spec is None else spec.sensitive
    return {key: HIDDEN if key in sensitive else value for key, value in data.items()}


def _spec(name: str) -> JobSpec | None:
    try:
        return get_spec(name)
    except UnknownJob:
        return None


def _positions(spec: JobSpec, count: int) -> list[str]:
    """Return the parameter that each positional argument goes to."""
    names: list[str] = []
    for parameter in spec.signature.parameters.values():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            names += [parameter.name] * (count - len(names))
        elif parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    # More than the function takes: its signature has changed since, and nobody knows what they were.
    return names + [next(iter(spec.sensitive))] * (count - len(names))
