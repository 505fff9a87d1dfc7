"""A Case under a law."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from case import Case
from inputs import Arrays
from laws import Subject, replaced


def subject(case: Case, number: int) -> Subject:
    """A case with one of its option sets, as a function of the arrays that every example has its row of."""
    batched = case.inputs["batched"].shape
    arrays = case.arrays("batched", shape=(6, *batched[1:]))
    options: Mapping[str, Any] = case.option_sets(arrays)[number]
    if case.of_classes:
        return classes_of(case, arrays, options)
    varying = [i for i in range(len(arrays)) if i not in case.shared]

    def function(*given: Any, reduction: Any = "mean", **keywords: Any) -> Any:
        if case.masks_items and keywords.get("where") is not None:
            keywords["where"] = keywords["where"][..., None]  # an example is a whole list
        fixed = tuple(jnp.asarray(array, given[0].dtype) for array in arrays)
        return case.loss.fn(*replaced(fixed, varying, given), reduction=reduction, **options, **keywords)

    return Subject(
        function,
        tuple(arrays[i] for i in varying),
        group=case.name,
        never_negative=case.never_negative,
        smooth_in=tuple(varying.index(i) for i in case.differentiable if i in varying),
        float32_losses=case.float32_losses,
        compares_examples=case.compares_examples,
        regions=case.regions,
        true_gradient=case.true_gradient,
    )


def classes_of(case: Case, arrays: Arrays, options: Mapping[str, Any]) -> Subject:
    """A Case whose elements are classes: example i is of class i. A masked class has no example."""

    def function(embeddings: Any, vectors: Any, reduction: Any = "mean", **keywords: Any) -> Any:
        targets, where = jnp.arange(len(embeddings)), keywords.get("where")
        if where is not None:
            targets = jnp.where(where, targets, -100)
        return case.loss.fn(embeddings, vectors.T, targets, reduction=reduction, **options, **keywords)

    given = arrays[0], np.ascontiguousarray(arrays[1].T)
    return Subject(function, given, group=case.name, compares_examples=True)
