"""From YAML or a dict to an experiment, and every way in which that fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmseq.balancers import balancers
from mmseq.config.errors import ConfigProblems
from mmseq.config.load import load_config
from mmseq.errors import ConfigError
from mmseq.modalities import modalities


def problems(path: Path, *overrides: str) -> list[str]:
    """Each problem, with the folder left out."""
    with pytest.raises(ConfigProblems) as caught:
        load_config(path, overrides)
    assert caught.value.exit_code == 2
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def test_a_good_file(write: Callable[..., Path], tmp_path: Path) -> None:
    experiment = load_config(write(), ["tasks.next.weight=0"])
    assert list(experiment.modalities) == ["flights", "carrier", "calendar"]
    assert list(experiment.tasks) == ["level", "delay", "next"]
    assert experiment.tasks["next"].weight == 0
    assert experiment.training.optimizer.lr == 3e-3
    assert experiment.core.kind == "lstm"
    assert [readout.kind for readout in experiment.readout] == ["last"]


def test_paths_start_at_the_yaml_but_the_store_does_not(write: Callable[..., Path], tmp_path: Path) -> None:
    split = "split: {train: 0.7, validation: 0.15, test: 0.15}"
    experiment = load_config(write((split, "split: {file: split.json}")))
    assert experiment.data.source.root == tmp_path / "tables"  # type: ignore[attr-defined]
    assert experiment.data.split.file == tmp_path / "configs" / "split.json"
    assert experiment.data.store == Path(".mmseq/stores")


def test_every_modality_shows_its_encoder(write: Callable[..., Path]) -> None:
    experiment = load_config(write())
    encoders = [modality.encoder for modality in experiment.modalities.values()]
    assert [encoder.kind for encoder in encoders if encoder] == ["linear", "embedding", "embedding"]


def test_one_readout_needs_no_list(write: Callable[..., Path]) -> None:
    one = load_config(write(), ["readout={kind: mean}"]).readout
    assert one == load_config(write(), ["readout=[{kind: mean}]"]).readout
    assert [r.kind for r in load_config(write(), ["readout=[{kind: mean}, {kind: max}]"]).readout] == [
        "mean",
        "max",
    ]


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (
            "timeline: {unit: minutes}",
            "timelin: {unit: minutes}",
            "timelin:",
            "timelin: unknown key; known: name, seed, plugins, data, timeline, modalities, fusion, "
            "core, readout, "
            "tasks, balance, training; did you mean 'timeline'?",
        ),
        (
            "hidden: 128",
            "hiden: 1, hidden: 128",
            "hiden:",
            "core.hiden: unknown key; known: kind, hidden, layers, dropout, chrono, forget_bias; did you "
            "mean 'hidden'?",
        ),
        (
            "hidden: 128",
            "hidden: 128.5",
            "128.5",
            "core.hidden: must be a whole number (came 128.5); it means: size of the state and of "
            "the outputs",
        ),
        (
            "epochs: 20",
            "epochs: true",
            "true",
            "training.epochs: must be a whole number (came true); it means: passes over the training split",
        ),
        (
            "epochs: 20",
            "epochs: -1",
            "-1",
            "training.epochs: must be greater than 0 (came -1); it means: passes over the training split",
        ),
        (
            "lr: 3e-3",
            "lr: '3e-3'",
            "'3e-3'",
            "training.optimizer.lr: must be a number (came '3e-3'); it means: peak learning rate",
        ),
        (
            "unit: minutes",
            "unit: minuts",
            "minuts",
            "timeline.unit: must be 'seconds', 'minutes', 'hours' or 'days' (came 'minuts'); "
            "did you mean 'minutes'?",
        ),
        (
            "epochs: 20",
            "devices: many",
            "many",
            "training.devices: must be a whole number (came 'many'); it means: processes on each machine, "
            "one a device; null: one, or as many as a launcher started",
        ),
        (
            "kind: numeric",
            "kind: numerc",
            "numerc",
            "modalities.flights.kind: unknown kind 'numerc'; known: KINDS; did you mean 'numeric'?",
        ),
        (
            "kind: numeric",
            "kind: hologram",
            "hologram",
            "modalities.flights.kind: unknown kind 'hologram'; known: KINDS; "
            "install the package that offers it, or name its file under `plugins:` or by --plugin",
        ),
        (
            "kind: numeric, ",
            "",
            "{table: flights.csv, time: minute, columns",
            "modalities.flights: needs `kind`, one of KINDS",
        ),
        (
            "{kind: uncertainty}",
            "uncertainty",
            "uncertainty",
            f"balance: needs a map with `kind`, one of {', '.join(balancers.kinds())}",
        ),
        (
            "columns: [delay, distance]",
            "columns: [delay, 3]",
            "3]",
            "modalities.flights.columns.1: must be a text (came 3)",
        ),
        (
            "column: carrier",
            "column: carrier, encoder: {kind: mlp, hiden: 3}",
            "hiden:",
            "modalities.carrier.encoder.hiden: unknown key; known: kind, hidden, layers; did you "
            "mean 'hidden'?",
        ),
        (
            "  flights: {",
            "  fl/ights: {",
            "fl/ights:",
            "modalities.fl/ights: a name has letters, digits, _ and - only; came 'fl/ights'; "
            "it becomes part of others, such as level/f1_macro",
        ),
        (
            "name: flights",
            "seed: 1",
            "seed",
            "name: is required; it means: name of the run's folder: letters, digits, . _ -",
        ),
        (
            "train: 0.7",
            "train: 0.8",
            "{train",
            "data.split: fractions must add up to 1; came train 0.8 + validation 0.15 + test 0.15 = 1.1; "
            "set all three",
        ),
        (
            "train: 0.7",
            "file: a.json, column: b, train: 0.7",
            "{file",
            "data.split: has both `column` and `file`; keep one",
        ),
        (
            "{train: 0.7, ",
            "{file: a.json, train: 0.6, ",
            "{file",
            "data.split: a column or a file divides the samples, not train; leave that out",
        ),
        (
            "samples: 32",
            "samples: 32, steps: 100",
            "{samples",
            "training.batch: has both `samples` and `steps`; keep one",
        ),
        (
            "unit: minutes",
            "anchor: calendar",
            "calendar}",
            "timeline.anchor: must name a modality with a clock; came 'calendar', which has no `time`; "
            "there are: flights, carrier",
        ),
        (
            "modality: flights",
            "modality: flight",
            "flight, weight",
            "tasks.next.modality: must name a modality with a clock; came 'flight'; did you mean 'flights'?; "
            "there are: flights, carrier",
        ),
        (
            "delay: {kind: regression",
            "time: {kind: regression",
            "{kind: regression",
            "tasks.time: is a column of every prediction table (id, time); give the task another name",
        ),
        (
            "monitor: level/f1_macro",
            "monitor: f1_macro",
            "f1_macro",
            "training.monitor: is written task/metric, such as level/loss; came 'f1_macro'",
        ),
        (
            "monitor: level/f1_macro",
            "monitor: levels/f1",
            "levels/f1",
            "training.monitor: must name a task, before the /; came 'levels'; did you mean 'level'?; "
            "there are: level, delay, next",
        ),
        (
            "monitor: level/f1_macro",
            "monitor: level/f1_makro",
            "level/f1_makro",
            "training.monitor: must name a metric of task 'level', after the /; came 'f1_makro'; did you "
            "mean 'f1_macro'?; there are: loss, accuracy, f1_macro, f1_weighted, auroc, auprc, "
            "nll, "
            "recall_head, recall_middle, recall_tail",
        ),
        (
            "time: minute, columns: [delay, distance]}",
            "time: minute, columns: [delay, distance], encoder: {kind: embedding}}",
            "{kind: embedding}",
            "modalities.flights.encoder: 'embedding' encodes CategoryEvents; the modality 'numeric' gives "
            "NumericEvents; leave `encoder` out for its default",
        ),
        (
            "  delay: {kind: regression",
            "  carrier: {kind: regression",
            "{kind: regression",
            "tasks.carrier: is the name of a modality too; give the task another name",
        ),
        *(
            (
                "unit: minutes",
                f"resolution: {came}",
                came,
                "timeline.resolution: needs a number with its unit, s, min, h or d, such as 30min or 2h; "
                f"'{came}' came",
            )
            for came in ("30", "2m", "2 hours")
        ),
        (
            "unit: minutes",
            "resolution: 0.0min",
            "0.0min",
            "timeline.resolution: needs some time; '0.0min' came; lengthen it",
        ),
        (
            "train: 0.7, validation: 0.15",
            "train: 0.85, validation: 0",
            "level/f1_macro",
            "training.monitor: looks at the validation split, which is empty; "
            "give data.split.validation a share",
        ),
        (
            "data:\n",
            "plugins: [none.py]\ndata:\n",
            "none.py",
            "plugins.0: no such file: none.py; a plugin's path is relative to the file that names it",
        ),
    ],
)
def test_each_problem_says_where_what_and_what_to_do(
    write: Callable[..., Path], old: str, new: str, at: str, message: str
) -> None:
    path = write((old, new))
    (problem,) = problems(path)
    first, line, caret = problem.splitlines()
    place, said = first.split(": ", 1)
    assert said == message.replace("KINDS", ", ".join(modalities.kinds()))  # some test may have added one
    row, column = (int(number) - 1 for number in place.removeprefix("run.yaml:").split(":"))
    written = path.read_text().splitlines()[row]
    assert written[column:].startswith(at)
    assert line.strip() in written
    assert line[caret.index("^") :].startswith(at)


def test_some_task_has_to_be_trained(write: Callable[..., Path]) -> None:
    """Caught: a run that trains nothing, and blames the core for gradients that vanish."""
    weights = [f"tasks.{task}.weight=0" for task in ("level", "delay", "next")]
    assert load_config(write(), weights[:2]).tasks["next"].weight
    (problem,) = problems(write(), *weights)
    assert "tasks: have weight 0, every one: nothing would be trained; give one a weight above 0" in problem


def test_all_problems_at_once_in_the_order_of_the_file(write: Callable[..., Path]) -> None:
    path = write(("hidden: 128", "hiden: 1"), ("epochs: 20", "epochs: x"), ("kind: gated", "kind: gate"))
    found = problems(path, "seed=-1", "name=3")
    assert [problem.split(": ")[0] for problem in found] == [
        "run.yaml:10:16",
        "run.yaml:11:20",
        "run.yaml:17:20",
        "--set name=3",
        "--set seed=-1",
    ]


def test_contradictions_are_told_at_once_in_the_order_of_the_file(write: Callable[..., Path]) -> None:
    path = write(
        ("columns: [weekday, month]", "columns: [weekday], encoder: {kind: linear}"),
        ("  delay: {kind", "  carrier: {kind"),
        ("level/f1_macro", "level/f1"),
    )
    where = [problem.splitlines()[0].split(": ")[1] for problem in problems(path)]
    assert where == ["modalities.calendar.encoder", "tasks.carrier", "training.monitor"]


@pytest.mark.parametrize("metric", ["loss", "mae", "r2_log1p", "nll"])
def test_metrics_that_a_monitor_may_name(write: Callable[..., Path], metric: str) -> None:
    change = ("column: mean_delay", "column: mean_delay, loss: gaussian, transform: log1p")
    path = write(change, ("level/f1_macro", f"delay/{metric}"))
    assert load_config(path).training.monitor == f"delay/{metric}"


def test_metrics_that_the_data_decide_are_not_judged(write: Callable[..., Path]) -> None:
    assert load_config(write(("level/f1_macro", "next/anything"))).training.monitor == "next/anything"


def test_a_misspelt_key_is_not_also_missing(write: Callable[..., Path]) -> None:
    (problem,) = problems(write(("column: level", "colum: level")))
    assert problem.splitlines()[0].endswith("did you mean 'column'?")


def test_a_problem_of_an_override_names_it(write: Callable[..., Path]) -> None:
    assert problems(write(), "core={kind: lstm, hidden: a}") == [
        "--set core={kind: lstm, hidden: a}: core.hidden: must be a whole number (came 'a'); "
        "it means: size of the state and of the outputs"
    ]


def test_a_file_that_is_not_a_map(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("- a\n")
    assert problems(path)[0].splitlines()[0].endswith("run.yaml:1:1: must be a map, with name, data, …")


def test_a_dict_is_checked_alike_and_left_alone(write: Callable[..., Path]) -> None:
    tree = load_config(write()).model_dump()
    assert load_config(tree, ["core.hidden=3"]).core.hidden == 3  # type: ignore[attr-defined]
    assert tree["core"]["hidden"] == 128
    tree["core"]["hidden"] = "x"
    del tree["name"]
    with pytest.raises(ConfigError) as caught:
        load_config(tree)
    assert str(caught.value).splitlines() == [
        "name: is required; it means: name of the run's folder: letters, digits, . _ -",
        "core.hidden: must be a whole number (came 'x'); it means: size of the state and of the outputs",
    ]


@pytest.mark.parametrize("name", ["n" * 300, "~nobody-of-that-name/x.py", "a\\0b.py"])
def test_a_plugin_that_can_be_no_file(write: Callable[..., Path], name: str) -> None:
    """caught: looking for it raised an OSError, a RuntimeError or a ValueError."""
    (problem,) = problems(write(("data:\n", f'plugins: ["{name}"]\ndata:\n')))
    assert re.match(r"run\.yaml:2:11: plugins\.0: (no such file: |must be a path; came )", problem)
    if "0" not in name and "~" not in name:
        with pytest.raises(ConfigError, match=r"^--plugin n+: no such file; the path starts at the working"):
            load_config(write(), plugins=[name])


def test_a_tree_that_holds_itself(write: Callable[..., Path]) -> None:
    """caught: it was copied without end."""
    tree = load_config(write()).model_dump()
    tree["data"]["source"] = tree
    with pytest.raises(
        ConfigError, match=r"^data\.source\.data: is nested deeper than 32 levels; flatten it$"
    ):
        load_config(tree)


def test_long_and_unprintable_messages_are_cut_and_escaped(write: Callable[..., Path]) -> None:
    """caught: half a megabyte on the terminal; a plugin's name that colours it."""
    twice = ", ".join(["aaaa"] * 10_000)
    (problem,) = problems(write(("[delay, distance]", f"[{twice}]")))
    assert len(problem) < 2_500
    (problem,) = problems(write(("data:\n", 'plugins: ["\\e[31m"]\ndata:\n')))
    assert "plugins.0: no such file: " in problem and "\\x1b[31m; a plugin" in problem


def test_a_key_of_no_letters_is_named(write: Callable[..., Path]) -> None:
    """caught: `where: ` with nothing before the colon."""
    assert ": data.'': unknown key" in problems(write(("data:\n", "data:\n  '': 1\n")))[0]


def test_a_thousand_problems_are_not_all_shown(write: Callable[..., Path]) -> None:
    many = "".join(f"x{i}: 1\n" for i in range(1000))
    with pytest.raises(ConfigProblems) as caught:
        load_config(write(("balance: ", many + "balance: ")))
    assert len(caught.value.problems) == 1000
    assert str(caught.value).endswith("… and 950 problems more; mend these first")


def test_nothing_that_cannot_be_printed_reaches_the_terminal(write: Callable[..., Path]) -> None:
    path = write(("fusion:", '"\\e[31m": "\\e[32m"\nfusion:'), ("unit: minutes", 'anchor: "\\e[33m"'))
    for problem in (*problems(path), *problems(write(("kind: gated", 'kind: "\\e[34m"')))):
        assert "\x1b" not in problem
    for override in ('core="\\e[35m"', 'timeline.anchor="\\e[35m"'):
        (problem,) = problems(write(), override)
        assert "\x1b" not in problem


def test_one_of_several_kinds_is_told_by_its_own_keys(write: Callable[..., Path]) -> None:
    """Not by those of the first that there is."""
    carrier = "{kind: category, table: flights.csv, time: minute, column: carrier}"
    text = "{kind: text, table: flights.csv, column: carrier, tokens: {kind: words, sise: 3}}"
    (told,) = problems(write((carrier, text)))
    assert told.startswith("run.yaml:8:")
    assert "known: kind, min_count, size, lower; did you mean 'size'?" in told
