"""Losses of metric learning in 60 digits."""

from typing import Any

from gold import LARGEST, Number, Truth, Vector, added, in_float32, mpf, pairwise_distance, ramp, times, total


def contrastive_loss(
    a: Vector, b: Vector, y: Number, *, margin: float = 1.0, eps: float = in_float32(1e-6)
) -> list[Any]:
    length, by_a, by_b = pairwise_distance(a, b, eps=eps)
    if length is None or length.scale**2 > LARGEST:  # the square overflows
        return [None, [None] * len(a), [None] * len(b)]
    gap, _ = ramp(total(mpf(margin), -length.value), slope_at_0=0)
    squares = [Truth(each.value**2, each.scale**2) for each in (length, gap)]
    loss = added(*(times(share / 2, square) for share, square in zip((y, 1 - y), squares, strict=True)))
    slope = added(times(y, length), times(y - 1, gap))

    def chained(by: list[Truth | None]) -> list[Truth | None]:
        return [None if each is None else Truth(slope.value * each.value, slope.scale * each.scale) for each in by]

    return [loss, chained(by_a), chained(by_b)]
