"""JSON objects with known properties as plain Python objects, both ways, checked on the way in.

A record's class reads like the table in the specification that it stands for:

    class User(Record):
        uid: int = 0
        additional_gids: list[int] = plain(list)

The annotations are the schema: a value of another type is a problem with its JSON path
(`process.user.uid: expected int, found "root"`), and all problems are gathered before anyone
complains. (dataclasses and a JSON-schema library do this too, for 10 and 100 ms of import; a
container starts in about 30.)
"""

from __future__ import annotations

from minicontainer.quickjson import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, TypeVar

    from typing_extensions import dataclass_transform

    T = TypeVar("T")
    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_):
        return lambda cls: cls


class Field:
    """What a class attribute says of a property: how its default is made, and which records it holds."""

    def __init__(self, make: Callable[[], Any], kind: type[Record] | None = None) -> None:
        self.make = make
        self.kind = kind
        self.schema = ""
        self.key = ""


def plain(make: Callable[[], T]) -> T:
    """A property whose default is `make()`, a fresh list or dict."""
    return Field(make)  # type: ignore[return-value]


def one(kind: type[R]) -> R:
    """A property that holds a record; without it, the record of all defaults."""
    return Field(kind, kind)  # type: ignore[return-value]


def maybe(kind: type[R]) -> R | None:
    """A property that holds a record, or None."""
    return Field(lambda: None, kind)  # type: ignore[return-value]


def many(kind: type[R]) -> list[R]:
    """A property that holds a list of records."""
    return Field(list, kind)  # type: ignore[return-value]


@dataclass_transform(kw_only_default=True)
class Record:
    """The base of all records. `json_names` maps the attributes whose property is not just camelCase."""

    fields: dict[str, Field] = {}
    json_names: dict[str, str] = {}

    def __init_subclass__(cls) -> None:
        cls.fields = dict(cls.fields)
        for name, schema in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063
            default = cls.__dict__.get(name)
            field = default if isinstance(default, Field) else Field(lambda default=default: default)  # type: ignore[misc]
            field.schema = schema
            field.key = cls.json_names.get(name) or camel_case(name)
            cls.fields[name] = field

    def __init__(self, **values: Any) -> None:
        for name, field in self.fields.items():
            setattr(self, name, values.pop(name) if name in values else field.make())
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({line(self.to_json())})"

    @classmethod
    def from_json(cls, data: Any, problems: list[str], path: str = "") -> Self:
        """The record that `data` (parsed JSON) describes; what is wrong with it is added to `problems`."""
        record = cls()
        if not isinstance(data, dict):
            problems.append(f"{path or 'the document'}: expected an object, found {brief(data)}")
            return record
        for name, field in cls.fields.items():
            if data.get(field.key) is not None:
                setattr(record, name, read(field, data[field.key], problems, f"{path}.{field.key}".lstrip(".")))
        return record

    def to_json(self) -> dict[str, Any]:
        """The JSON object, without what is empty and by default so. A default that says something is written out:

        other runtimes do not know it.
        """
        result = {}
        for name, field in self.fields.items():
            value = getattr(self, name)
            if isinstance(value, Record):
                value = value.to_json()
                if not value and isinstance(field.make(), Record):
                    continue
            elif not value and value == field.make():
                continue
            elif field.kind is not None:
                value = [item.to_json() for item in value]
            result[field.key] = value
        return result


def read(field: Field, value: Any, problems: list[str], path: str) -> Any:
    """One property's value, of the type that its annotation names."""
    if field.kind is not None:
        if not field.schema.startswith("list"):
            return field.kind.from_json(value, problems, path)
        if isinstance(value, list):
            return [field.kind.from_json(item, problems, f"{path}[{i}]") for i, item in enumerate(value)]
    elif TYPES[field.schema](value):
        return value
    problems.append(f"{path}: expected {field.schema.removesuffix(' | None')}, found {brief(value)}")
    return field.make()


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_str(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _all(of: Callable[[object], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(of, value))


def _values(of: Callable[[object], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


TYPES: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "int | None": _is_int,
    "str": _is_str,
    "str | None": _is_str,
    "bool": _is_bool,
    "bool | None": _is_bool,
    "list[str]": _all(_is_str),
    "list[int]": _all(_is_int),
    "list[list[str]]": _all(_all(_is_str)),
    "dict[str, str]": _values(_is_str),
}
"""Annotation -> whether a JSON value has that type."""


def camel_case(name: str) -> str:
    """`no_new_privileges` -> `noNewPrivileges`."""
    head, *tail = name.split("_")
    return head + "".join(map(str.capitalize, tail))


def brief(value: Any) -> str:
    """A JSON value, shortened for an error message."""
    text = line(value)
    return text if len(text) <= 40 else text[:37] + "..."
