"""How large numbers may be."""

from __future__ import annotations

LARGEST_NUMBER = 9e18
"""Of a table's numbers. Two of them differ by at most 1.8e19, whose square, 3.24e38, is a float32."""

LARGEST_RULE = "must lie within ±9e18, for float32 has no square of a larger error: give it in a larger unit"
