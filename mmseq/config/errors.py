"""All that is wrong with a configuration, in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmseq.config.places import Loc, Point, dotted, printable
from mmseq.errors import ConfigError

_SHOWN = 50
_LONGEST = 2_000


@dataclass(frozen=True)
class Problem:
    """One broken rule.

    Attributes:
        loc: the node that breaks it; empty for the whole text.
        message: `rule (what came); what to do`.
        place: where it stands, if it was read from a text.
    """

    loc: Loc
    message: str
    place: Point | None = None

    def __str__(self) -> str:
        where = [str(part) for part in (self.place, dotted(self.loc)) if part]
        excerpt = self.place.excerpt() if self.place else ""
        said = self.message if len(self.message) <= _LONGEST else f"{self.message[:_LONGEST]}…"
        return ": ".join([*where, printable(said)]) + (f"\n{excerpt}" if excerpt else "")


class ConfigProblems(ConfigError):
    """Every problem of a configuration at once.

    Attributes:
        problems: each by itself, for programs.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        shown = [str(problem) for problem in self.problems[:_SHOWN]]
        if more := len(self.problems) - len(shown):
            shown.append(f"… and {more} problems more; mend these first")
        super().__init__("\n".join(shown))
