"""The version of the contracts."""

VERSION = 1
"""It goes up whenever a component that kept its contract might no longer do so."""
