"""Records to and from what JSON can hold, by their types. No I/O here.

An Unknown is ``{"unknown": reason}``. Fields that a record does not have are
passed over when reading, and those that are missing take their default: facts
stored by another version can still be judged.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sdops.facts.unknown import Unknown


def to_data(value: Any) -> Any:
    """What JSON can hold, of a record."""
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_data(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_data(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_data(one) for one in value]
    return value


def from_data(wanted: Any, data: Any) -> Any:
    """The record of a type, from what JSON held. Raises ValueError, naming the field that does not fit."""
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return _one_of(typing.get_args(wanted), data)
    if origin is tuple:
        return _tuple(typing.get_args(wanted), data)
    if origin in (dict, Mapping):
        if not isinstance(data, dict):
            raise ValueError(f"{data!r} is no table")
        return {key: from_data(typing.get_args(wanted)[1], one) for key, one in data.items()}
    if wanted is Unknown:
        if not (isinstance(data, dict) and list(data) == ["unknown"]):
            raise ValueError(f"{data!r} is not unknown")
        return Unknown(str(data["unknown"]))
    if dataclasses.is_dataclass(wanted):
        return _record(wanted, data)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return wanted(data)
    return _plain(wanted, data)


def _one_of(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None and type(None) in kinds:
        return None
    # What stands for an unknown must not be taken for a record whose fields all have defaults.
    if Unknown in kinds and isinstance(data, dict) and list(data) == ["unknown"]:
        return from_data(Unknown, data)
    said = ""
    for kind in kinds:
        if kind in (type(None), Unknown):
            continue
        try:
            return from_data(kind, data)
        except ValueError as error:
            said = str(error)
    raise ValueError(said or f"{data!r} does not fit")


def _tuple(kinds: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"{data!r} is no list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(from_data(kinds[0], one) for one in data)
    return tuple(from_data(kind, one) for kind, one in zip(kinds, data, strict=True))


def _record(wanted: Any, data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{data!r} is no {wanted.__name__}")
    hints = typing.get_type_hints(wanted)
    found = {}
    for one in dataclasses.fields(wanted):
        if one.name in data:
            try:
                found[one.name] = from_data(hints[one.name], data[one.name])
            except ValueError as error:
                raise ValueError(f"{one.name}: {error}") from None
    try:
        return wanted(**found)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _plain(wanted: Any, data: Any) -> Any:
    if wanted is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if wanted is Any or type(data) is wanted:
        return data
    raise ValueError(f"{data!r} is no {getattr(wanted, '__name__', wanted)}")
