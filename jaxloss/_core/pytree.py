"""Frozen dataclasses as pytrees: numbers and arrays are leaves, options that shape the program are static."""

import dataclasses
from collections.abc import Iterable
from typing import TypeVar

import jax

T = TypeVar("T")


def static(default: T) -> T:
    """Declare a field that is part of the compiled program: a string, a flag, an integer or a callable.

    Args:
        default: the field's default.
    """
    return dataclasses.field(default=default, metadata={"static": True})


def register_pytree(cls: type[T]) -> type[T]:
    """Register a dataclass as a pytree with a key path per field.

    Unlike `jax.tree_util.register_dataclass` it does not call `__init__` to rebuild an object. Any leaf is therefore
    accepted: JAX inserts placeholders, and `jax.tree.map` inserts the results of its function.
    """
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]  # a dataclass, which T cannot say
    leaves = [field.name for field in fields if not field.metadata.get("static")]
    statics = [field.name for field in fields if field.metadata.get("static")]
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
    return cls
