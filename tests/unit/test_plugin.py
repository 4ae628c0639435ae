"""Single-file plugins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmseq.config.errors import ConfigProblems
from mmseq.config.load import load_config
from mmseq.cores import cores
from mmseq.errors import ConfigError, PluginError
from mmseq.plugin import load_plugin

CORE = """\
from typing import Literal
from torch import nn
from mmseq.cores import Core, CoreConfig, cores

class {name}Config(CoreConfig):
    kind: Literal["{kind}"]

@cores.register({name}Config)
class {name}(Core):
    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, inputs, timeline, state=None):
        return inputs, {{}}
"""

YAML = """\
name: run
plugins: [ours.py]
data: {source: {kind: tables, root: .}}
modalities: {a: {kind: numeric, table: a.csv, time: t, columns: [x]}}
core: {kind: ours}
tasks: {b: {kind: classification, table: b.csv, column: y}}
"""


pytestmark = pytest.mark.usefixtures("forgets_plugins")


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path

    return write


Plugin = Callable[[str, str], Path]


def test_importing_registers_once(plugin: Plugin) -> None:
    path = plugin("ours.py", CORE.format(name="Ours", kind="ours"))
    load_plugin(path)
    first = cores.component_class("ours")
    load_plugin(path)
    assert cores.component_class("ours") is first


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"plugin .*none\.py: no such file; a path in a YAML is relative to t"
    ):
        load_plugin(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "plugin FOLDER/a.txt: not a Python file; a single-file plugin ends in .py"),
        (
            "a.py",
            "x = 1",
            "plugin FOLDER/a.py: registered nothing; its class needs e.g. @encoders.register(…)",
        ),
        (
            "a.py",
            "x = 1\ny = z",
            "plugin FOLDER/a.py:2: importing failed with NameError: name 'z' is not defined; mend the file",
        ),
        (
            "a.py",
            "import sys\nsys.exit(0)",
            "plugin FOLDER/a.py:2: importing failed with SystemExit: 0; mend the file",
        ),
        (
            "a.py",
            CORE.format(name="Lstm", kind="lstm"),
            "plugin FOLDER/a.py:8: cores: kind 'lstm' is registered by both the installed "
            "mmseq.cores.lstm and "
            "mmseq_plugin_a.Lstm; rename one of them",
        ),
        (
            "a.py",
            CORE.format(name="Ours", kind="ours").replace("width: int", "width: int, *, size: int"),
            "plugin FOLDER/a.py:8: cores 'ours': the fields of OursConfig must be the keyword "
            "options of Ours; "
            "came () and (size); make them the same",
        ),
    ],
)
def test_each_fault_says_where_and_what_to_do(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, name: str, content: str, message: str
) -> None:
    monkeypatch.delitem(cores._classes, "lstm", raising=False)  # as long as nobody has used it
    path = plugin(name, content)
    with pytest.raises(PluginError) as caught:
        load_plugin(path)
    assert str(caught.value).replace(str(path.parent), "FOLDER") == message
    assert caught.value.exit_code == 3


def test_a_failed_plugin_leaves_nothing_and_may_be_mended(plugin: Plugin) -> None:
    path = plugin("ours.py", CORE.format(name="Ours", kind="ours") + "\n1 / 0\n")
    with pytest.raises(PluginError, match=r"ours\.py:16: importing failed with ZeroDivisionError"):
        load_plugin(path)
    assert "ours" not in cores.kinds()
    load_plugin(plugin("ours.py", CORE.format(name="Ours", kind="ours")))
    assert "ours" in cores.kinds()


def test_two_files_of_one_name_or_one_kind(plugin: Plugin) -> None:
    load_plugin(plugin("ours.py", CORE.format(name="Ours", kind="ours")))
    with pytest.raises(PluginError, match=r"here/ours\.py: .*/ours\.py has the same name; rename one"):
        load_plugin(plugin("here/ours.py", CORE.format(name="Ours", kind="other")))
    with pytest.raises(
        PluginError, match=r"'ours' is registered by both mmseq_plugin_ours\.Ours and mmseq_plu"
    ):
        load_plugin(plugin("theirs.py", CORE.format(name="Ours", kind="ours")))


def test_a_configuration_names_plugins_relative_to_itself(plugin: Plugin) -> None:
    plugin("ours.py", CORE.format(name="Ours", kind="ours"))
    experiment = load_config(plugin("run.yaml", YAML))
    assert experiment.core.kind == "ours"
    assert [path.name for path in experiment.plugins] == ["ours.py"]


def test_plugins_given_by_option_are_written_down(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plugin("elsewhere/ours.py", CORE.format(name="Ours", kind="ours"))
    run = plugin("run.yaml", YAML.replace("plugins: [ours.py]\n", ""))
    monkeypatch.chdir(path.parent)
    assert load_config(run, plugins=["ours.py"]).plugins == [path]
    with pytest.raises(
        ConfigError, match=r"--plugin none\.py: no such file; the path starts at the working dir"
    ):
        load_config(run, plugins=["none.py"])


def test_a_broken_plugin_is_not_the_configurations_fault(plugin: Plugin) -> None:
    plugin("ours.py", "1 / 0")
    with pytest.raises(PluginError, match=r"ours\.py:1: importing failed with ZeroDivisionError"):
        load_config(plugin("run.yaml", YAML))


def test_a_missing_plugin_and_what_lacks_it_are_told_together(plugin: Plugin) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load_config(plugin("run.yaml", YAML))
    assert [problem.loc for problem in caught.value.problems] == [("plugins", 0), ("core", "kind")]


def test_files_from_elsewhere_import_nothing(plugin: Plugin) -> None:
    plugin("ours.py", CORE.format(name="Ours", kind="ours"))
    run = plugin("run.yaml", YAML)
    with pytest.raises(PluginError) as caught:
        load_config(run, import_plugins=False)
    assert str(caught.value) == (
        "this configuration needs plugins, and may not import them by itself; add --plugin ours.py"
    )
    assert "mmseq_plugin_ours" not in sys.modules
    path = run.parent / "ours.py"
    assert load_config(run, plugins=[path], import_plugins=False).core.kind == "ours"
