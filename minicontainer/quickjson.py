"""JSON without the weight of `import json`.

The standard module's Python half imports `re` and `enum`: 7 ms, a fifth of a container's start.
Its C half, `_json`, does all the work and needs none of it. Where an interpreter lacks that half
(PyPy, say), the standard module serves.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import _json
except ImportError:  # not CPython
    _json = None  # type: ignore[assignment]

WHITESPACE = " \t\n\r"


class _Scanner:
    """The attributes that `_json.make_scanner` reads from a decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}


def parse(text: str) -> Any:
    """The value that `text` holds. Raises ValueError with line and column."""
    if _json is not None:
        try:
            value, end = _json.make_scanner(_Scanner)(  # type: ignore[arg-type]
                text, len(text) - len(text.lstrip(WHITESPACE))
            )
            if not text[end:].strip(WHITESPACE):
                return value
        except (ValueError, StopIteration, SystemError):
            pass  # the C half on its own cannot say what is wrong
    import json

    return json.loads(text)


def serialise(value: Any, indent: int = 2) -> str:
    """`value` (dicts, lists, strings, numbers, booleans, None) as JSON, keys in their own order."""
    return _write(value, "\n", " " * indent) + "\n"


def line(value: Any) -> str:
    """The same on one line, without a newline at its end."""
    return _write(value, "", "")


def _write(value: Any, newline: str, indent: str) -> str:
    if isinstance(value, str):
        return quote(value)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return int.__repr__(value) if isinstance(value, int) else repr(value)
    inner = newline + indent
    comma = "," + (inner or " ")
    if isinstance(value, dict):
        rows = comma.join(f"{quote(str(key))}: {_write(item, inner, indent)}" for key, item in value.items())
        return f"{{{inner}{rows}{newline}}}" if rows else "{}"
    if isinstance(value, (list, tuple)):
        rows = comma.join(_write(item, inner, indent) for item in value)
        return f"[{inner}{rows}{newline}]" if rows else "[]"
    raise TypeError(f"{type(value).__name__} has no JSON form")


def quote(text: str) -> str:
    """`text` as a JSON string, ASCII only."""
    if _json is not None:
        return _json.encode_basestring_ascii(text)
    import json

    return json.dumps(text)
