"""Frozen dataclasses as pytrees: numbers and arrays are leaves, options that shape the program are static."""

import ast
import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

import jax
import jax.export

T = TypeVar("T")

_classes: list[type] = []
_listeners: list[Callable[[type], None]] = []


def static(default: T) -> T:
    """Declare a field that is part of the compiled program: a string, a flag, an integer or a callable.

    Args:
        default: the field's default.
    """
    return dataclasses.field(default=default, metadata={"static": True})


def fields(cls: type) -> tuple[dataclasses.Field[object], ...]:
    """The fields of a class that is a dataclass, although its type does not say so."""
    return dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]  # a dataclass, which the type cannot say


def register_pytree(cls: type[T]) -> type[T]:
    """Register a dataclass as a pytree with a key path per field.

    Unlike `jax.tree_util.register_dataclass` it does not call `__init__` to rebuild an object. Any leaf is therefore
    accepted: JAX inserts placeholders, and `jax.tree.map` inserts the results of its function.
    """
    leaves = leaf_names(cls)
    statics = [field.name for field in fields(cls) if field.metadata.get("static")]
    keys = [jax.tree_util.GetAttrKey(name) for name in leaves]

    def flatten(tree: T) -> tuple[list[object], tuple[object, ...]]:
        return [getattr(tree, name) for name in leaves], tuple(getattr(tree, name) for name in statics)

    def flatten_with_keys(tree: T) -> tuple[list[tuple[object, object]], tuple[object, ...]]:
        children, aux = flatten(tree)
        return list(zip(keys, children, strict=True)), aux

    def unflatten(aux: tuple[object, ...], children: Iterable[object]) -> T:
        tree = object.__new__(cls)
        for name, value in zip([*leaves, *statics], [*children, *aux], strict=True):
            object.__setattr__(tree, name, value)
        return tree

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    # A notebook defines a class again when its cell runs again. The name stands for the first definition then.
    with contextlib.suppress(ValueError):
        jax.export.register_pytree_node_serialization(
            cls, serialized_name=_public_name(cls), serialize_auxdata=_written, deserialize_auxdata=_read
        )
    _classes.append(cls)
    for listener in _listeners:
        listener(cls)
    return cls


def on_registration(listener: Callable[[type], None]) -> None:
    """Call a function with every class that `register_pytree` has registered, and with those that it will register."""
    _listeners.append(listener)
    for cls in _classes:
        listener(cls)


def leaf_names(cls: type) -> list[str]:
    """The names of the fields that are not static."""
    return [field.name for field in fields(cls) if not field.metadata.get("static")]


def _public_name(cls: type) -> str:
    """The name under which users import a class: without the private modules of its package."""
    return f"{cls.__module__.partition('._')[0]}.{cls.__qualname__}"


def _written(statics: tuple[object, ...]) -> bytes:
    """The static fields as the text of a Python literal. A function has no such text and is refused."""
    text = repr(statics)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise TypeError(f"The options {text} hold a function, which cannot be serialized.") from None
    return text.encode()


def _read(text: bytes | bytearray) -> tuple[object, ...]:
    return cast(tuple[object, ...], ast.literal_eval(bytes(text).decode()))
