"""How large numbers may be."""

from __future__ import annotations

LARGEST_NUMBER = 1e140
"""Of a table's numbers. Sums of 1e28 squares of such are finite in float64, in which facts are fitted."""

LARGEST_RULE = "must lie within ±1e140, for sums of squares of larger ones overflow: give it in a larger unit"
