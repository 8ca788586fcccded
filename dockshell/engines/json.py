"""JSON on the hot path.

Why not `json` itself: it imports `re` for error messages and for its slower half, and with that half the standard
library, 10 ms of the 40 that a whole command has. The scanner is the very one that `json` uses, its C half; where
Python has none (PyPy), `json` does the work."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["decode", "encode"]


class _Settings:
    """What the scanner asks of its decoder; see json.JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}


def decode(content: bytes) -> Any:
    """UTF-8 bytes → the value. Raises ValueError for anything but one JSON value."""
    try:
        import _json
    except ImportError:
        import json

        return json.loads(content)
    text = content.decode("utf-8").strip(" \t\r\n")
    try:
        scanner: Any = _json.make_scanner
        value, end = scanner(_Settings)(text, 0)
    # The first: before Python 3.13 the scanner raises nothing where `json`, which has its error, isn't imported.
    except (SystemError, StopIteration, RecursionError):
        raise ValueError("no JSON value") from None
    if end != len(text):
        raise ValueError("more after the JSON value")
    return value


def encode(value: object) -> bytes:
    """Text, numbers, truth values, None, lists and dicts of them with text for keys → JSON in ASCII. Text that is no
    UTF-8 is written as it stands (surrogates), and so is a float that is no number, for what reads it to refuse. Raises
    TypeError for anything else."""
    return _written(value).encode("ascii")


def _written(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(name)}:{_written(each)}" for name, each in value.items()) + "}"
    raise TypeError(f"{type(value).__name__} has no JSON")


def _quoted(text: str) -> str:
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        import json

        return json.dumps(text)
    quoted: str = encode_basestring_ascii(text)
    return quoted
