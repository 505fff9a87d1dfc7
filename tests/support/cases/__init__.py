"""The only list of losses in the tests: one Case a loss, a family a file, as in the library."""

import importlib
import pkgutil

from case import Case

FAMILIES = [importlib.import_module(f"cases.{module.name}") for module in pkgutil.iter_modules(__path__)]
CASES: list[Case] = [case for family in FAMILIES for case in family.CASES]
