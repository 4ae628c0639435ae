"""What every verb has in common: help, exit codes, messages."""

from __future__ import annotations

import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

import mmseq.cli
from mmseq.cli.main import Terminated
from mmseq.errors import DataError, MmseqError, PluginError

VERBS = [m.name for m in pkgutil.iter_modules(mmseq.cli.__path__) if m.name != "main" and m.name[0] != "_"]

Run = Callable[..., Any]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `mmseq check` end with an exception."""

    def fail(error: BaseException) -> None:
        def load_config(*arguments: object) -> NoReturn:
            raise error

        monkeypatch.setattr("mmseq.config.load.load_config", load_config)

    return fail


def test_help_lists_every_verb(mmseq: Run) -> None:
    outcome = mmseq("--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert "Example: mmseq train --config configs/flights.yaml" in outcome.out
    for verb in VERBS:
        assert f"\n  {verb} " in outcome.out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(mmseq: Run, verb: str) -> None:
    outcome = mmseq(verb, "--help")
    assert outcome.code == 0
    helps = [outcome.out]
    if "COMMAND" in outcome.out:
        names = [
            line.split()[0]
            for line in outcome.out.partition("Commands:\n")[2].splitlines()
            if line[2:3] > " "
        ]
        helps = [mmseq(verb, name, "--help").out for name in names]
    assert helps
    for text in helps:
        assert f"Example: mmseq {verb}" in text


def test_version(mmseq: Run) -> None:
    from importlib.metadata import version

    assert mmseq("--version").out == f"mmseq {version('mmseq')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chekc"], "No such command 'chekc'. Did you mean 'check'?"),
        (["check"], "Missing option '--config' / '-c'."),
        (["check", "--confg", "x"], "No such option: --confg"),
    ],
)
def test_usage_errors_end_with_2(mmseq: Run, arguments: list[str], message: str) -> None:
    outcome = mmseq(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert "Traceback" not in outcome.err


class Custom(MmseqError):
    exit_code = 130


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MmseqError("a: b"), 1),
        (DataError("a: b"), 2),
        (PluginError("a: b"), 3),
        (Custom("a: b"), 130),
    ],
)
def test_our_errors_are_a_message_and_their_code(
    mmseq: Run, failing: Run, error: MmseqError, code: int
) -> None:
    failing(error)
    outcome = mmseq("check", "-c", "x")
    assert (outcome.code, outcome.out, outcome.err) == (code, "", "a: b\n")


def test_a_bug_shows_its_traceback_and_says_so(mmseq: Run, failing: Run) -> None:
    failing(ZeroDivisionError("ouch"))
    outcome = mmseq("check", "-c", "x")
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert outcome.err.endswith("mmseq: this is a bug in mmseq: please report it with the lines above\n")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_interrupts_end_with_the_signals_code(
    mmseq: Run, failing: Run, error: BaseException, code: int
) -> None:
    failing(error)
    outcome = mmseq("check", "-c", "x")
    assert (outcome.code, outcome.err) == (code, "")


def test_sigterm_ends_the_program_with_143(tmp_path: Path) -> None:
    script = (
        "import time, mmseq.config.load\n"
        "def wait(*_): print('ready', flush=True); time.sleep(60)\n"
        "mmseq.config.load.load_config = wait\n"
        "import sys; sys.argv = ['mmseq', 'check', '-c', 'x']\n"
        "from mmseq.cli.main import run; run()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 143


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mmseq.cli.main import main\nmain(['--help'])\n"
        "heavy = {'torch', 'pytorch_lightning', 'duckdb', 'pydantic', 'numpy', 'rich'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = os.times()
    assert done.returncode == 0, done.stderr
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 0.5


def test_import_mmseq_imports_no_torch() -> None:
    code = (
        "import sys, mmseq\nassert 'torch' not in sys.modules and 'pydantic' not in sys.modules\n"
        "for name in mmseq.__all__: assert getattr(mmseq, name) is not None and name in dir(mmseq)\n"
        "try: mmseq.nothing\nexcept AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "module 'mmseq' has no attribute 'nothing'\n"), done.stderr


def test_public_names_are_listed_once_and_all_lead_home() -> None:
    assert sorted(mmseq._HOME) == sorted(mmseq.__all__) == sorted(set(mmseq.__all__))
