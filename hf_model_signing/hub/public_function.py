"""The edge of the Python API: the types of the arguments are checked, and errors of this machine are translated."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from hf_model_signing._util.argument_types import KINDS, Kind, check_arguments, instance, path_or
from hf_model_signing.errors import FileError, HfSignError
from hf_model_signing.hashing.model_hasher import Progress
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.verifying import Coverage
from hub_adapters.limits import Limits

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_KINDS: dict[str, Kind] = {
    **KINDS,
    **dict.fromkeys(("signature", "reuse"), path_or(Bundle)),
    "coverage": instance(Coverage),
    "limits": instance(Limits),
    "progress": instance(Progress),
}


def public_function(**kinds: Kind) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Decorate a function of the Python API; `kinds` are those of arguments that others do not have.

    It raises `UsageError` for an argument of another type, and `FileError` in place of an `OSError`.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        names = function.__code__.co_varnames

        @wraps(function)
        def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            check_arguments({**dict(zip(names, args, strict=False)), **kwargs}, {**_KINDS, **kinds})
            try:
                return function(*args, **kwargs)
            except (HfSignError, BrokenPipeError):  # a broken pipe is of the caller's output, not of a file
                raise
            except OSError as error:
                raise FileError.of(error) from error

        return call

    return decorate
