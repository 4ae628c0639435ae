"""What a contract is: named checks, each tried on a fresh component."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from mmseq.testing.compare import Broken

REMEDY = "return what the methods of its base class are annotated to return, in number, type and shape"

Trial = TypeVar("Trial")
Status = Literal["passed", "failed", "does not apply", "could not run"]


class DoesNotApply(Exception):
    """Raised by a check that asks nothing of a component; the message says why."""


class NoExample(LookupError):
    """Nothing can be made up to try a component on; the message says what its author can give."""


@dataclass(frozen=True)
class Check(Generic[Trial]):
    """One line of a contract.

    Attributes:
        name: a word or two, by which tables and messages call it.
        rule: what a component has to keep, in one sentence.
        run: raises AssertionError where a component breaks the rule, `DoesNotApply` where there is nothing
            to ask of it.
    """

    name: str
    rule: str
    run: Callable[[Trial], None]


Contract = tuple[Check[Trial], ...]


@dataclass(frozen=True)
class Result:
    """What came of a check.

    Attributes:
        check: name of the check.
        rule: what it asks.
        status: what came of it.
        reason: why it is not passed; empty where it is.
        case: which way of building the component was tried; empty where there is one only.
    """

    check: str
    rule: str
    status: Status
    reason: str = ""
    case: str = ""

    @property
    def good(self) -> bool:
        """Whether the rule is known to be kept, or asks nothing: what could not be tried is not good."""
        return self.status in ("passed", "does not apply")


@dataclass(frozen=True)
class Case(Generic[Trial]):
    """A component to hold to a contract.

    Attributes:
        contract: the lines that it has to keep.
        trial: makes the component anew, and something to try it on; called for every check.
        name: what is special about this way of building it; empty where there is one only.
    """

    contract: Sequence[Check[Trial]]
    trial: Callable[[], Trial]
    name: str = ""

    def require(self) -> None:
        """Runs all checks.

        Raises:
            AssertionError: a rule is broken; the message names the line of the contract, what came and
                what to change.
            NoExample: there is nothing to try the component on.
        """
        for check in self.contract:
            try:
                check.run(self.trial())
            except DoesNotApply:
                continue
            except Broken as broken:
                raise broken.in_line(check.name) from None
            except NoExample:
                raise
            except Exception as error:
                error.add_note(f"{check.name}: {check.rule}; this came instead of an answer; {REMEDY}")
                raise

    def results(self) -> Iterator[Result]:
        """What comes of each check; a failure is no end."""
        try:
            self.trial()
        except NoExample as error:
            yield from self._untried(str(error))
            return
        except Exception as error:
            rule = "the component is built from its config, and from the facts that it fits itself"
            yield Result("built", rule, "failed", _told(error, rule), self.name)
            yield from self._untried("the component cannot be built")
            return
        for check in self.contract:
            status, reason = _run(check, self.trial)
            yield Result(check.name, check.rule, status, reason, self.name)

    def _untried(self, why: str) -> Iterator[Result]:
        for check in self.contract:
            yield Result(check.name, check.rule, "could not run", why, self.name)


def _run(check: Check[Trial], trial: Callable[[], Trial]) -> tuple[Status, str]:
    try:
        check.run(trial())
    except DoesNotApply as reason:
        return "does not apply", str(reason)
    except NoExample as error:
        return "could not run", str(error)
    except Exception as error:
        return "failed", _told(error, check.rule)
    return "passed", ""


def _told(error: Exception, rule: str) -> str:
    """A broken rule in its own words; any other exception with the rule, and its place in the plugin."""
    if isinstance(error, Broken):
        return str(error)
    from mmseq.blame import plugin_error

    if (blamed := plugin_error(error)) is not None:
        return f"{rule}; {blamed}"
    return f"{rule}; {type(error).__name__}: {error} came of what it returned; {REMEDY}"
