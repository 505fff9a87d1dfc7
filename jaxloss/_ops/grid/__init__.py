"""The grid lattice: all monotone paths through cells (i, j), from the first cell to the last, and their total.

`problem.py` skews the grid, so that the cells of an anti-diagonal stand in one row. `xla.py` walks over these rows in
numbers of extended range, `formula.py` in logarithms, and `derivative.py` makes the derivatives. `soft_minimum.py`
walks over them in units of a cost, for paths that may also step along the diagonal.
"""

from jaxloss._ops.grid.derivative import negative_log_total
from jaxloss._ops.grid.problem import Problem, transducer_problem
from jaxloss._ops.grid.soft_minimum import soft_minimum

__all__ = ["Problem", "negative_log_total", "soft_minimum", "transducer_problem"]
