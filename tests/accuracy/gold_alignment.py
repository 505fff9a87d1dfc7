"""What the losses of alignments and of transducers truly are: see `gold`."""

from collections.abc import Callable, Sequence
from typing import Any

import gold_structured
from gold import Truth, Vector, minus_log_probs, mpf, one
from mpmath import exp, inf, log

Matrix = Sequence[Vector]
Cell = tuple[int, int]
Arc = tuple[Cell, Cell]


def soft_dtw_loss(x: Matrix, y: Matrix, frames: int, others: int, *, gamma: float = 1.0) -> list[Any]:
    """Of one pair of series, and its derivatives in both."""
    gamma = mpf(gamma)
    x_used, y_used = x[:frames], y[:others]
    costs = [[sum((a - b) ** 2 for a, b in zip(row, other, strict=True)) for other in y_used] for row in x_used]
    # The cost of a cell belongs to the arcs that enter it, and that of the first cell to no arc.
    cells = _cells(frames, others)
    arcs = {
        ((i - down, j - right), (i, j)): exp(-costs[i][j] / gamma)
        for i, j in cells
        for down, right in ((1, 0), (0, 1), (1, 1))
        if i >= down and j >= right
    }
    probability, shares = _posteriors(arcs, cells, (frames - 1, others - 1))
    visits = {cell: mpf(cell == (0, 0)) for cell in cells}
    for (_, cell), share in shares.items():
        visits[cell] += share
    loss = costs[0][0] - gamma * log(probability)
    # Each step adds a cost and a logarithm of at most 3.
    size = sum(visits[i, j] * costs[i][j] for i, j in visits) + gamma * sum(visits.values())
    by_x = [[_zero() for _ in row] for row in x]
    by_y = [[_zero() for _ in row] for row in y]
    for (i, j), visit in visits.items():
        for k, (a, b) in enumerate(zip(x_used[i], y_used[j], strict=True)):
            slope = 2 * visit * (a - b)
            # The rounding of the costs of a path reaches its share through the exponential.
            scale = abs(slope) * (1 + size / gamma)
            by_x[i][k] = Truth(by_x[i][k].value + slope, by_x[i][k].scale + scale)
            by_y[j][k] = Truth(by_y[j][k].value - slope, by_y[j][k].scale + scale)
    return [Truth(loss, size), by_x, by_y]


def forward_sum_loss(scores: Matrix, frames: int, tokens: int, *, blank_log_prob: float = -1.0) -> list[Any]:
    """Of one sequence, and its derivative in the scores."""
    surprises = [minus_log_probs([mpf(blank_log_prob), *row[:tokens]])[0] for row in scores[:frames]]
    log_probs = [[-each for each in row] for row in surprises]
    loss, expected = gold_structured.ctc_loss(log_probs, range(1, tokens + 1), frames, tokens)
    if expected is None:
        return [loss, None]
    slopes = [[_zero() for _ in row] for row in scores]
    for t, row in enumerate(log_probs):
        for token, log_prob in enumerate(row[1:]):
            # The posteriors of a frame add up to 1, and so do the probabilities.
            slopes[t][token] = Truth(exp(log_prob) + expected[t][token + 1].value, mpf(1))
    # The log-probabilities of a frame are differences of scores and their log-sum.
    size = sum((max(map(abs, row[:tokens]), default=mpf(0)) + 1 for row in scores[:frames]), mpf(0))
    return [Truth(loss.value, loss.scale + size), slopes]


def transducer_loss(blanks: Matrix, labels: Matrix, frames: int, length: int) -> list[Any]:
    """Of one sequence, and its derivatives in both arrays: minus the probability of each arc."""
    arcs = _transducer_arcs(lambda t, u: exp(blanks[t][u]), lambda t, u: exp(labels[t][u]), frames, length)
    probability, shares = _posteriors(arcs, _cells(frames + 1, length + 1), (frames, length))
    if not frames or not probability:
        return [one(inf), None, None]
    by_blanks = [[_zero() for _ in row] for row in blanks]
    by_labels = [[_zero() for _ in row] for row in labels]
    for ((t, u), (_, to)), share in shares.items():
        (by_blanks if to == u else by_labels)[t][u] = Truth(-share, mpf(1))
    return [one(-log(probability)), by_blanks, by_labels]


def rnnt_loss(
    logits: Sequence[Matrix], labels: Sequence[int], frames: int, length: int, *, blank: int = -1
) -> list[Any]:
    """Of one sequence, and its derivative in the logits."""
    rows = {(t, u): minus_log_probs(logits[t][u])[0] for t, u in _cells(frames, length + 1)}
    blank %= len(logits[0][0])
    arcs = _transducer_arcs(
        lambda t, u: exp(-rows[t, u][blank]), lambda t, u: exp(-rows[t, u][labels[u]]), frames, length
    )
    probability, shares = _posteriors(arcs, _cells(frames + 1, length + 1), (frames, length))
    if not frames or not probability:
        return [one(inf), None]
    slopes = [[[_zero() for _ in cell] for cell in row] for row in logits]
    for ((t, u), (_, to)), share in shares.items():
        for number, surprise in enumerate(rows[t, u]):
            chosen = number == (blank if to == u else labels[u])
            before = slopes[t][u][number]
            slopes[t][u][number] = Truth(before.value + share * (exp(-surprise) - chosen), mpf(1))
    # The log-probability of each step is a difference of logits. Where it is near 0 it has the rounding of 1.
    return [Truth(-log(probability), abs(log(probability)) + frames + length), slopes]


def _transducer_arcs(
    blank: Callable[[int, int], Any], label: Callable[[int, int], Any], frames: int, length: int
) -> dict[Arc, Any]:
    arcs = {}
    for t, u in _cells(frames, length + 1):
        arcs[(t, u), (t + 1, u)] = blank(t, u)
        if u < length:
            arcs[(t, u), (t, u + 1)] = label(t, u)
    return arcs


def _cells(rows: int, columns: int) -> list[Cell]:
    return [(i, j) for i in range(rows) for j in range(columns)]


def _posteriors(arcs: dict[Arc, Any], cells: Sequence[Cell], last: Cell) -> tuple[Any, dict[Arc, Any]]:
    """The sum over all paths from cell (0, 0) to the last, and the share of the paths that take each arc."""
    forward, backward = dict.fromkeys(cells, mpf(0)), dict.fromkeys(cells, mpf(0))
    forward[0, 0] = backward[last] = mpf(1)
    ordered = sorted(arcs.items(), key=lambda arc: arc[0][1])
    for (start, end), weight in ordered:
        forward[end] += forward[start] * weight
    for (start, end), weight in sorted(arcs.items(), reverse=True, key=lambda arc: arc[0][0]):
        backward[start] += weight * backward[end]
    through = forward[last]
    if not through:
        return through, {}
    return through, {arc: forward[arc[0]] * weight * backward[arc[1]] / through for arc, weight in ordered}


def _zero() -> Truth:
    return one(0)
