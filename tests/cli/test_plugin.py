"""`mmseq plugin`: what it writes works, what it lists is there, and what it checks can fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import mmseq
from mmseq.config.places import Text
from mmseq.config.yaml import parse_yaml
from mmseq.kit.new import PARTS
from mmseq.registry import FAMILIES, family
from mmseq.testing import check_kind

Run = Callable[..., Any]
ROOT = Path(mmseq.__file__).parents[1]


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Whatever a plugin registers or imports is gone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    modules = set(sys.modules)
    registered = {(name, kind) for name in FAMILIES for kind in family(name)._classes}
    yield
    for name in FAMILIES:
        registry = family(name)
        vars(registry).pop("_entry_points", None)
        for kind, (_, cls) in list(registry._classes.items()):
            if (name, kind) not in registered and not cls.__module__.startswith("mmseq."):
                del registry._classes[kind]
    for module in set(sys.modules) - modules:
        if module.startswith(("mmseq_", "ours")):
            del sys.modules[module]


def install(folder: Path, target: Path) -> None:
    """Puts a package where Python finds it, with the metadata that an installer would write."""
    told = tomllib.loads((folder / "pyproject.toml").read_text())
    project = told["project"]
    for package in told["tool"]["setuptools"]["packages"]:
        shutil.copytree(folder / package, target / package)
    name, version = project["name"], project["version"]
    information = target / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = [
        f"[{group}]\n" + "".join(f"{kind} = {value}\n" for kind, value in named.items())
        for group, named in project["entry-points"].items()
    ]
    (information / "entry_points.txt").write_text("\n".join(points))


def python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """Runs Python there; what it printed."""
    there = os.pathsep.join(map(str, [ROOT, *([path] if path else [])]))
    environment = os.environ | {"PYTHONPATH": there, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in PARTS])
def test_a_new_package_passes_its_tests_and_trains(mmseq: Run, kind: str, tmp_path: Path) -> None:
    """As generated, and with it installed its example trains by its name alone."""
    assert mmseq("plugin", "new", "own_part", "--kind", kind).code == 0
    folder = tmp_path / "mmseq-own-part"
    assert " passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    install(folder, tmp_path / "site")
    python("-m", "mmseq", "train", "--config", "example.yaml", cwd=folder, path=tmp_path / "site")
    assert (folder / "runs" / "own_part" / "model" / "manifest.json").is_file()


@pytest.mark.parametrize("kind", PARTS)
def test_a_new_package_is_whole_and_has_no_word_of_the_template(
    mmseq: Run, kind: str, tmp_path: Path
) -> None:
    outcome = mmseq("plugin", "new", "own_part", "--kind", kind, "--output", "there")
    assert outcome.out.startswith(f"written: there{os.sep}mmseq-own-part\n")
    folder = tmp_path / "there" / "mmseq-own-part"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files >= {
        "pyproject.toml",
        "README.md",
        "example.yaml",
        "mmseq_own_part/__init__.py",
        "mmseq_own_part/own_part.py",
        "tests/test_own_part.py",
    }
    assert any(name.startswith("example/") for name in files)
    for name in files:
        if not name.endswith(".duckdb"):
            assert not re.search(r"my.?(kind|word|family|use|about)", (folder / name).read_text(), re.I), name
    assert [path.name for path in folder.parent.iterdir()] == ["mmseq-own-part"]
    (shown,) = re.findall(r"```yaml\n(.*)\n```", (folder / "README.md").read_text())
    assert shown in map(str.strip, (folder / "example.yaml").read_text().splitlines())
    assert isinstance(parse_yaml(Text("README.md", shown)).value, Mapping), "it is YAML by itself"


QUICK = ("encoder", "fusion", "balancer")


@pytest.mark.parametrize("kind", QUICK)
def test_a_new_package_keeps_its_contract_before_it_is_installed(mmseq: Run, kind: str) -> None:
    assert mmseq("plugin", "new", "own_part", "--kind", kind).code == 0
    outcome = mmseq("plugin", "check", "mmseq-own-part")
    assert outcome.code == 0, outcome.out
    assert f"{PARTS[kind].family}/own_part" in outcome.out
    assert " checks passed" in outcome.out and "failed" not in outcome.out


@pytest.mark.slow
def test_a_package_installs_without_a_network(tmp_path: Path) -> None:
    """Both the one that comes with the project and one that was just written, by pip itself."""
    shutil.copytree(ROOT / "plugins" / "mmseq_circular", tmp_path / "circular")
    python("-m", "mmseq", "plugin", "new", "own_part", "--kind", "encoder", cwd=tmp_path)
    for folder in ("circular", "mmseq-own-part"):
        options = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--target", "site")
        python("-m", "pip", "install", *options, f"./{folder}", cwd=tmp_path)
    listed = python("-m", "mmseq", "plugin", "ls", cwd=tmp_path, path=tmp_path / "site")
    assert re.search(r"encoders +│ own_part +│ mmseq-own-part +│ 0\.1\.0 +│ installed", listed)
    assert re.search(r"heads +│ von_mises +│ mmseq-circular +│ 0\.1\.0 +│ installed", listed)
    checked = python("-m", "mmseq", "plugin", "check", "von_mises", cwd=tmp_path, path=tmp_path / "site")
    assert "heads/von_mises" in checked
    python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "circular", path=tmp_path / "site")
    example = ("-m", "mmseq", "train", "--config", "circular/example.yaml", "--set", "training.epochs=2")
    python(*example, cwd=tmp_path, path=tmp_path / "site")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("class", "choose another"),
        ("None", "take 'none'"),
        ("My-Encoder", "take 'my_encoder'"),
        ("2fast", "choose another"),
        ("über", "take 'ber'"),
        ("../out", "take 'out'"),
        ("", "choose another"),
        ("x" * 41, f"take {'x' * 40!r}"),
    ],
)
def test_a_name_that_is_none_is_refused(mmseq: Run, name: str, hint: str, tmp_path: Path) -> None:
    outcome = mmseq("plugin", "new", name, "--kind", "encoder")
    assert outcome.code == 2
    assert outcome.err.startswith("plugin new: a name is a lower-case word ")
    assert f"; came {name!r}; {hint}" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", PARTS)
def test_a_kind_that_is_taken_is_refused(mmseq: Run, kind: str, tmp_path: Path) -> None:
    taken = family(PARTS[kind].family).kinds()[0]
    outcome = mmseq("plugin", "new", taken, "--kind", kind)
    assert outcome.code == 2
    told = f"plugin new: a kind belongs to one package; mmseq \\S+ has the {kind} '{taken}'; choose "
    assert re.match(told, outcome.err)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_stays_as_it_is(mmseq: Run, tmp_path: Path) -> None:
    (tmp_path / "mmseq-pulse").mkdir()
    (tmp_path / "mmseq-pulse" / "work.txt").write_text("mine")
    outcome = mmseq("plugin", "new", "pulse", "--kind", "head")
    assert outcome.code == 2
    assert outcome.err == (
        "plugin new: a package is written into a new folder; mmseq-pulse is there already; choose another "
        "name, or remove it\n"
    )
    assert [path.name for path in tmp_path.rglob("*")] == ["mmseq-pulse", "work.txt"]


def test_output_that_is_a_file_is_refused(mmseq: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = mmseq("plugin", "new", "pulse", "--kind", "head", "-o", "file")
    assert outcome.code == 2 and outcome.err.startswith("plugin new: --output is a folder; file is a file")


def test_nothing_half_written_is_left(mmseq: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("mmseq.kit.new._write_data", fail)
    assert mmseq("plugin", "new", "pulse", "--kind", "head").code == 1
    assert list(tmp_path.iterdir()) == []


def write_point(target: Path, owner: str, family_name: str, points: dict[str, str]) -> None:
    information = target / f"{owner}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
    lines = "".join(f"{kind} = {value}\n" for kind, value in points.items())
    (information / "entry_points.txt").write_text(f"[mmseq.{family_name}]\n{lines}")


def listed(mmseq: Run, *arguments: str) -> list[list[str]]:
    outcome = mmseq("plugin", "ls", *arguments)
    assert outcome.code == 0, outcome.err
    return [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in outcome.out.splitlines() if "│" in line
    ]


def test_ls_lists_all_and_imports_none() -> None:
    code = (
        "import sys\nfrom mmseq.cli.main import main\nassert main(['plugin', 'ls']) == 0\n"
        "loaded = {'torch', 'mmseq.encoders', 'mmseq.encoders.linear', 'duckdb'} & set(sys.modules)\n"
        "sys.exit(str(sorted(loaded)) if loaded else 0)"
    )
    out = python("-c", code, cwd=Path.cwd())
    for name in FAMILIES:
        for kind in family(name)._entry_points:
            assert re.search(rf"│ {name} +│ {kind} +│ mmseq +│ \S+ +│ installed +│", out), (name, kind)


def test_ls_tells_what_is_broken_or_offered_twice(
    mmseq: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours_there").mkdir()
    (tmp_path / "ours_there" / "__init__.py").write_text("raise ZeroDivisionError('it was imported')\n")
    (tmp_path / "ours_there" / "part.py").write_text("")
    write_point(tmp_path, "ours_one", "encoders", {"fine": "ours_there.part", "gone": "ours_there.away"})
    write_point(tmp_path, "ours_two", "heads", {"twice": "ours_there", "Loud": "ours_there", "odd": "a-b c"})
    write_point(tmp_path, "ours_three", "heads", {"twice": "ours_there.part"})
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = {(row[1], row[2]): row[4] for row in listed(mmseq) if row[2].startswith("ours")}
    assert rows == {
        ("fine", "ours_one"): "installed",
        ("gone", "ours_one"): "broken: there is no module ours_there.away; reinstall the package",
        ("twice", "ours_two"): "offered by ours_three too: uninstall one of them",
        ("twice", "ours_three"): "offered by ours_two too: uninstall one of them",
        ("Loud", "ours_two"): "broken: a kind is a lower-case word, as in my_encoder",
        ("odd", "ours_two"): "broken: 'a-b c' names no module",
    }
    assert "ours_there" not in sys.modules


def test_ls_lists_single_files_that_are_given(mmseq: Run) -> None:
    rows = listed(mmseq, "--plugin", str(ROOT / "plugins" / "fourier.py"))
    assert ["encoders", "fourier", str(ROOT / "plugins" / "fourier.py"), "", "loaded"] in rows
    outcome = mmseq("plugin", "ls", "--plugin", "nothing.py")
    assert outcome.code == 2 and "no such file" in outcome.err


GOOD = """\
from typing import Literal
from mmseq.encoders import encoders
from mmseq.encoders.linear import LinearConfig, LinearEncoder

class OursConfig(LinearConfig):
    kind: Literal["ours"]

@encoders.register(OursConfig)
class OursEncoder(LinearEncoder):
    def forward(self, events):
        return super().forward(events)
"""


def write(text: str, name: str = "ours.py") -> None:
    Path(name).write_text(text)


def test_check_shows_what_is_broken_and_ends_with_1(mmseq: Run) -> None:
    write(GOOD.replace("return super().forward(events)", "x = super().forward(events); return x - x.mean()"))
    outcome = mmseq("plugin", "check", "ours.py")
    assert outcome.code == 1
    assert re.search(r"│ company +│ an event alone, .* │ failed +│", outcome.out)
    assert re.search(r"\d+ checks passed, \d failed", outcome.out)
    assert (
        "failed: company: OursEncoder: an event alone is encoded as it is among others (outputs); they differ"
        in outcome.err
    )
    assert "let an event's vector depend on that event only" in outcome.err


def test_check_names_the_line_of_a_plugin_that_raises(mmseq: Run) -> None:
    write(GOOD.replace("return super().forward(events)", "return 1 / 0"))
    outcome = mmseq("plugin", "check", "ours.py")
    assert outcome.code == 1
    path = Path("ours.py").resolve()
    told = f"plugin {path}:11: encoders 'ours' failed with ZeroDivisionError"
    assert (
        f"failed: finite: numbers are finite, also for events of which all is missing; {told}" in outcome.err
    )
    assert "Traceback" not in outcome.err


def test_what_returns_nothing_is_told_what_to_return(mmseq: Run) -> None:
    """Caught: an exception of the contract's own code, told as it came, without a rule or a remedy."""
    write(GOOD.replace("return super().forward(events)", "super().forward(events)"))
    outcome = mmseq("plugin", "check", "ours.py")
    assert outcome.code == 1
    for line in filter(None, outcome.err.splitlines()):
        assert line.endswith(
            "return what the methods of its base class are annotated to return, in number, type and shape"
        ), line
    assert (
        "failed: shapes: returns (event, width), in the dtype of its weights; AttributeError" in outcome.err
    )
    with pytest.raises(AttributeError) as caught:
        check_kind("encoders", "ours")
    assert caught.value.__notes__[0].startswith(
        "shapes: returns (event, width), in the dtype of its weights; "
    )


def test_what_could_not_run_is_not_passed(mmseq: Run) -> None:
    """A config that needs a field which nobody gave; and then somebody does."""
    text = GOOD.replace('kind: Literal["ours"]', 'kind: Literal["ours"]\n    size: int')
    made = "    def __init__(self, spec, width, *, size):\n        super().__init__(spec, width)\n\n"
    write(text.replace("    def forward", f"{made}    def forward"))
    outcome = mmseq("plugin", "check", "ours.py")
    assert outcome.code == 1
    assert "0 checks passed" in outcome.out and " could not run" in outcome.out
    assert "could not run: config: " in outcome.err
    assert "no config of kind 'ours' can be made up: size: Field required" in outcome.err
    assert mmseq("plugin", "check", "ours", "--set", "size=3").code == 0


def test_an_encoder_of_events_that_nobody_gives_could_not_run(mmseq: Run) -> None:
    events = "from mmseq.batch import NumericEvents\nclass OwnEvents(NumericEvents): pass\n"
    write(events + GOOD.replace("    def forward", "    reads = OwnEvents\n\n    def forward"))
    outcome = mmseq("plugin", "check", "ours.py")
    assert outcome.code == 1
    assert "could not run: shapes: no modality gives OwnEvents" in outcome.err


def test_a_component_that_cannot_be_built_is_told(mmseq: Run) -> None:
    write(
        GOOD.replace(
            "    def forward",
            "    def __init__(self, spec, width):\n        raise KeyError('w')\n\n    def forward",
        )
    )
    outcome = mmseq("plugin", "check", "ours.py")
    assert outcome.code == 1
    assert "failed: built: the component is built from its config, and from the facts" in outcome.err
    assert "; plugin " in outcome.err and "KeyError" in outcome.err
    assert "could not run: shapes: the component cannot be built" in outcome.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_that_name\n", "importing failed with ModuleNotFoundError"),
        ("x = 1\n", "registered nothing"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_plugin_that_does_not_import_ends_with_3(mmseq: Run, text: str, said: str) -> None:
    write(text)
    outcome = mmseq("plugin", "check", "ours.py")
    assert outcome.code == 3 and said in outcome.err and "Traceback" not in outcome.err


def test_check_by_name(mmseq: Run) -> None:
    outcome = mmseq("plugin", "check", "fusions/sum")
    assert outcome.code == 0 and outcome.out.startswith("fusions/sum")
    assert mmseq("plugin", "check", "uncertainty").code == 0
    outcome = mmseq("plugin", "check", "mlp")
    assert outcome.code == 2
    assert "encoders/mlp, cores/mlp do" in outcome.err
    outcome = mmseq("plugin", "check", "encoders/liner")
    assert outcome.code == 2 and "did you mean 'encoders/linear'?" in outcome.err


def test_an_unknown_option_of_a_component_is_told(mmseq: Run) -> None:
    write(GOOD)
    outcome = mmseq("plugin", "check", "ours.py", "--set", "sise=3")
    assert outcome.code == 1 and "sise: Extra inputs are not permitted" in outcome.err
    outcome = mmseq("plugin", "check", "ours.py", "--set", "sise")
    assert outcome.code == 2 and "is written a.b=value" in outcome.err


def test_options_are_of_one_component(mmseq: Run) -> None:
    outcome = mmseq("plugin", "check", str(ROOT / "plugins" / "mmseq_circular"), "--set", "period=24")
    assert outcome.code == 2
    assert (
        "--set: builds one component; " in outcome.err
        and "modalities/circular, heads/von_mises" in outcome.err
    )


def test_a_folder_of_single_files_is_checked_file_by_file(mmseq: Run) -> None:
    Path("several").mkdir()
    write(GOOD, "several/ours.py")
    write(GOOD.replace('"ours"', '"ours_too"').replace("Ours", "Others"), "several/ours_too.py")
    outcome = mmseq("plugin", "check", "several")
    assert outcome.code == 0
    assert "encoders/ours" in outcome.out and "encoders/ours_too" in outcome.out
    Path("none").mkdir()
    outcome = mmseq("plugin", "check", "none")
    assert outcome.code == 2 and "it has none" in outcome.err


def test_a_bare_package_is_checked(mmseq: Run) -> None:
    Path("ours_package").mkdir()
    write("", "ours_package/__init__.py")
    write(GOOD, "ours_package/part.py")
    outcome = mmseq("plugin", "check", "ours_package")
    assert outcome.code == 0 and outcome.out.startswith("encoders/ours")


PYPROJECT = """\
[project]
name = "ours"
version = "1.0"
[project.entry-points."mmseq.encoders"]
{} = "ours_package.part"
"""


def test_what_has_no_entry_point_fails(mmseq: Run) -> None:
    Path("project/ours_package").mkdir(parents=True)
    write("", "project/ours_package/__init__.py")
    write(
        GOOD + GOOD.replace('"ours"', '"ours_too"').replace("Ours", "Others"), "project/ours_package/part.py"
    )
    write(PYPROJECT.format("ours"), "project/pyproject.toml")
    outcome = mmseq("plugin", "check", "project")
    assert outcome.code == 1
    assert "failed: entry point: it has no entry point in pyproject.toml" in outcome.err


def test_an_entry_point_that_leads_nowhere_ends_with_3(mmseq: Run) -> None:
    Path("project/ours_package").mkdir(parents=True)
    write("", "project/ours_package/__init__.py")
    write(GOOD, "project/ours_package/part.py")
    write(PYPROJECT.format("other"), "project/pyproject.toml")
    outcome = mmseq("plugin", "check", "project")
    assert outcome.code == 3 and "entry point other = 'ours_package.part'" in outcome.err
    write("[project]\nname = 'x'\n", "project/pyproject.toml")
    outcome = mmseq("plugin", "check", "project")
    assert outcome.code == 3 and "offers its kinds by entry points" in outcome.err
    write("[project", "project/pyproject.toml")
    outcome = mmseq("plugin", "check", "project")
    assert outcome.code == 3 and "must be TOML" in outcome.err
