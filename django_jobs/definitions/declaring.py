"""Declaring a job: what a decorator says of a function is checked, and becomes a JobSpec."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from asgiref.sync import iscoroutinefunction

from django_jobs.conf import did_you_mean
from django_jobs.definitions.batches import Batch
from django_jobs.definitions.deduplication import Deduplicate
from django_jobs.definitions.options import JOB_NAME, make_options
from django_jobs.definitions.redaction import RESULT
from django_jobs.definitions.registry import JobSpec
from django_jobs.definitions.retries import error_classes
from django_jobs.definitions.sandbox import Sandbox, read_sandbox
from django_jobs.errors import InvalidOption

RETRY_RULES = ("retry_on", "no_retry_on")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# Of a batched job each item has arguments of its own, of which the function says nothing.
_ANY_CALL = inspect.signature(lambda *args, **kwargs: None)
_NOT_IN_BATCHES = {
    "takes_context": "each item of the list is the context of its own job.",
    "atomic": "items end each in its own way, and a transaction only as a whole. Open one in the body.",
    "sandbox": "a sandbox runs one job, so that its end is only its own.",
}


def make_spec(
    function: Callable[..., Any],
    takes_context: bool,
    name: str | None,
    sensitive: Iterable[str],
    atomic: bool,
    *,
    aliases: Iterable[str] = (),
    batch: Batch | None = None,
    sandbox: bool | Sandbox = False,
    options: dict[str, Any],
) -> JobSpec:
    """Return what a decorator says of a function, checked. Raises InvalidOption, NotAvailableYet."""
    if not inspect.isfunction(function):
        raise InvalidOption(f"@job is for functions, not for {function!r}.")
    whose = f"@job of {function.__module__}.{function.__qualname__}"
    if name is None and "<locals>" in function.__qualname__:
        raise InvalidOption(f"{whose}: a function inside a function needs a name=, for workers cannot import it.")
    job_name = f"{function.__module__}.{function.__qualname__}" if name is None else name
    if not isinstance(job_name, str) or not JOB_NAME.fullmatch(job_name):
        raise InvalidOption(f"{whose}: name must be 1 to 200 letters, digits or _ . : -, not {job_name!r}.")
    # A callable is read from code alone, never from data, so it stays with the function and out of the row.
    callables = {key: options[key] for key in ("backoff", "idempotency_key") if callable(options.get(key))}
    classes = _error_classes(options, whose)
    plain = {key: value for key, value in options.items() if key not in {*callables, *RETRY_RULES}}
    if options.get("idempotency_key") is not None and options.get("deduplicate") is not None:
        raise InvalidOption(f"{whose}: idempotency_key and deduplicate contradict each other. Leave one of them out.")
    deduplicate, key = plain.get("deduplicate"), None
    if isinstance(deduplicate, Deduplicate) and callable(deduplicate.key):
        plain["deduplicate"], key = replace(deduplicate, key=None), deduplicate.key
    if batch is not None:
        others = {"takes_context": takes_context, "atomic": atomic, "sandbox": sandbox}
        _check_batch(function, batch, others, whose)
    signature = _ANY_CALL if batch is not None else _call_signature(function, takes_context, whose)
    return JobSpec(
        name=job_name,
        function=function,
        options=make_options(plain, whose=whose),
        signature=signature,
        aliases=_former_names(aliases, job_name, whose),
        sensitive=_sensitive_names(sensitive, signature, whose),
        takes_context=takes_context,
        is_async=iscoroutinefunction(function),
        is_atomic=_is_atomic(function, atomic, whose),
        batch=batch,
        sandbox=read_sandbox(sandbox, f"{whose}: sandbox"),
        backoff_function=callables.get("backoff"),
        key_function=callables.get("idempotency_key"),
        **classes,
        deduplication_key_function=key,
    )


def _error_classes(options: dict[str, Any], whose: str) -> dict[str, Any]:
    """Return what `retry_on` and `no_retry_on` name; no class can be both."""
    classes = {
        name: error_classes(options[name], option=f"{whose}: {name}")
        for name in RETRY_RULES
        if options.get(name) is not None
    }
    both = set(classes.get("retry_on", ())) & set(classes.get("no_retry_on", ()))
    if both:
        names = ", ".join(sorted(each.__name__ for each in both))
        raise InvalidOption(f"{whose}: retry_on and no_retry_on both name {names}.")
    return classes


def _is_atomic(function: Callable[..., Any], atomic: bool, whose: str) -> bool:
    if not isinstance(atomic, bool):
        raise InvalidOption(f"{whose}: atomic must be True or False, not {atomic!r}.")
    if atomic and (iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        raise InvalidOption(
            f"{whose}: atomic=True needs a `def`, for Django has no transactions in `async def`. Make it a `def`, or "
            "put its writes into a step: await context.astep(name, function, atomic=True)."
        )
    return atomic


def _check_batch(function: Callable[..., Any], batch: object, others: dict[str, Any], whose: str) -> None:
    if not isinstance(batch, Batch):
        raise InvalidOption(f"{whose}: batch must be Batch(...), not {batch!r}.")
    for name, reason in _NOT_IN_BATCHES.items():
        if others.get(name):
            raise InvalidOption(f"{whose}: batch and {name} contradict each other: {reason}")
    try:
        inspect.signature(function).bind([])
    except TypeError:
        raise InvalidOption(f"{whose}: a batch calls its function with one argument, a list of BatchItems.") from None


def _former_names(names: Iterable[str], job_name: str, whose: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise InvalidOption(f"{whose}: aliases must be a list of names, not {names!r}. Write [{names!r}].")
    found = tuple(dict.fromkeys(names))
    for name in found:
        if not isinstance(name, str) or not JOB_NAME.fullmatch(name):
            raise InvalidOption(f"{whose}: an alias must be 1 to 200 letters, digits or _ . : -, not {name!r}.")
        if name == job_name:
            raise InvalidOption(
                f"{whose}: the alias {name!r} is its name already. Aliases are names that it had before."
            )
    return found


def _sensitive_names(names: Iterable[str], signature: inspect.Signature, whose: str) -> frozenset[str]:
    """Return the names, each of which must hide something: a misspelt one would hide nothing and say nothing."""
    if isinstance(names, str):
        raise InvalidOption(f"{whose}: sensitive must be a list of parameter names, not {names!r}. Write [{names!r}].")
    found = frozenset(names)
    known = {*signature.parameters, RESULT}
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values())
    for name in sorted(found - known, key=str):
        if not takes_any:
            raise InvalidOption(
                f"{whose}: sensitive names {name!r}, which is no parameter.{did_you_mean(str(name), known)} "
                f"{RESULT!r} hides the result."
            )
    return found


def _call_signature(function: Callable[..., Any], takes_context: bool, whose: str) -> inspect.Signature:
    """Return the signature that callers of .enqueue() see: without the context."""
    signature = inspect.signature(function)
    if not takes_context:
        return signature
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].name != "context" or parameters[0].kind not in _POSITIONAL:
        raise InvalidOption(f"{whose}: takes_context=True needs a first parameter called 'context'.")
    return signature.replace(parameters=parameters[1:])
