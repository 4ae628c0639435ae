"""Bundles, checkpoints and stores that somebody made to harm: refused, and nothing of them runs.

Every folder agrees with its own digests. Reading happens in a process that is watched: no import, no code
run, no socket, no process, no file opened elsewhere, no memory asked for by what a header says.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from guarded import Server, Watched
from hostile import (
    ARRAYS,
    JSON,
    MANIFESTS,
    TENSORS,
    Change,
    assign,
    device,
    dump,
    edited,
    linked,
    piped,
    replaced,
    safetensors,
    seal,
    sparse,
)
from small import checkpoint, make_experiment, make_model

import mmseq
from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.run import Run
from mmseq.training.checkpoint import save_checkpoint

KINDS = ("bundle", "checkpoint", "store")
REFUSED = (1, 3)
Attack = Callable[[str, Change], Watched]
EVIL = "from pathlib import Path\nPath(__file__).with_name('pwned').touch()\n"


def some(cases: Iterable[Any], every: int = 8) -> list[Any]:
    """All of them; but for each eighth, those are run with the slow tests."""
    return [
        case if i % every == every - 1 else pytest.param(*_row(case), marks=pytest.mark.slow)
        for i, case in enumerate(cases)
    ]


def _row(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)


def pairs(kinds: Iterable[Any], names: Iterable[str]) -> list[Any]:
    return some(list(itertools.product(kinds, names)))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return make_experiment(tmp_path_factory.mktemp("tables"), 1.0, n_shards=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> Path:
    """A bundle, a checkpoint and a store, all good."""
    root = tmp_path_factory.mktemp("made")
    make_model(experiment, 1.0).save(root / "bundle")
    save_checkpoint(root / "checkpoint", checkpoint(1.0))
    shutil.copytree(prepare(experiment).path, root / "store")
    return root


@pytest.fixture(scope="module")
def server(made: Path) -> Iterator[Server]:
    server = Server({kind: made / kind for kind in KINDS})
    yield server
    server.close()


@pytest.fixture
def attack(server: Server, made: Path, tmp_path: Path) -> Attack:
    """Changes a copy of a good folder, reads it while watched, and says how that ended."""

    def attack(kind: str, change: Change) -> Watched:
        folder = tmp_path / "work" / kind
        shutil.copytree(made / kind, folder)
        for name in ("evil.py", "mmseq_evil.py"):  # where a program in this folder would find them
            (folder.parent / name).write_text(EVIL)
        change(folder)
        found = server.watch(kind, str(folder), [folder], folder.parent)
        assert not found.seen, found.seen
        assert not list(tmp_path.rglob("pwned"))
        shutil.rmtree(folder)
        return found

    return attack


def refused(found: Watched, *names: str) -> None:
    assert found.code in REFUSED, found.message
    assert all(name in found.message for name in names), found.message
    assert len(found.message) < 2_000, "an error shows a little of what came, not all"


def test_good_ones_are_read(attack: Attack) -> None:
    """All tests below would pass on a reader that refuses everything.

    caught: every file of weights refused.
    """
    for kind in KINDS:
        found = attack(kind, lambda folder: None)
        assert (found.code, found.message) == (0, "")


def test_the_watch_sees(server: Server, tmp_path: Path) -> None:
    """What a hostile folder would do is seen: this is the fault that all tests below would catch.

    caught: a watch that leaves out `exec`.
    """
    (tmp_path / "evil_module.py").write_text("")
    payload = pickle.dumps(os.system)
    acts = {
        "open /etc/hostname": "open('/etc/hostname').close()",
        "exec": "exec('pass')",
        "compile": "compile('1', 'x', 'eval')",
        "pickle.find_class": f"__import__('pickle').loads({payload!r})",
        "socket.": "__import__('socket').socket().close()",
        "subprocess.": "__import__('subprocess').run(['true'])",
        "os.system": "os.system('true')",
        "import evil_module": "__import__('evil_module')",
    }
    for event, act in acts.items():
        seen = server.watch("eval", act, [tmp_path], tmp_path).seen
        assert any(line.startswith(event) for line in seen), event
    greedy = server.watch("eval", "bytearray(1 << 34)", [tmp_path], tmp_path)
    assert greedy.code is None and "MemoryError" in greedy.message


@pytest.mark.parametrize(("kind", "name"), pairs(["bundle", "checkpoint"], MANIFESTS))
def test_manifests(attack: Attack, kind: str, name: str) -> None:
    """caught: names joined to the folder unchecked; a manifest read whole before its size is looked at."""
    refused(attack(kind, MANIFESTS[name]), kind)


@pytest.mark.parametrize(("kind", "name"), pairs(["bundle", "checkpoint"], TENSORS))
def test_tensors(attack: Attack, kind: str, name: str) -> None:
    """caught: SafetensorError let through; `torch.load` tried where safetensors fail."""
    found = attack(kind, replaced("weights.safetensors", TENSORS[name]))
    whole = name in ("no tensors", "other tensors", "float8", "giant shape with a 0", "metadata that is none")
    if kind == "checkpoint" and whole and found.code == 0:
        return  # tensors, of which training says that they are not its model's
    refused(found, "weights.safetensors" if kind == "checkpoint" or not whole else kind)


JSON_FILES = [
    ("bundle", "config.json"), ("bundle", "facts.json"),
    ("checkpoint", "progress.json"), ("checkpoint", "facts.json"), ("checkpoint", "carried.json"),
]  # fmt: skip


@pytest.mark.parametrize(("of", "name"), pairs(JSON_FILES, JSON))
def test_json(attack: Attack, of: tuple[str, str], name: str) -> None:
    """caught: JSON's NaN and doubled keys taken; RecursionError and MemoryError let through."""
    kind, file = of
    found = attack(kind, replaced(file, JSON[name]))
    if (kind, file, name) in (("checkpoint", "facts.json", "map"), ("checkpoint", "carried.json", "list")):
        assert found.code in (0, *REFUSED), found.message
        return
    refused(found, kind)


def without(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        seal(folder)

    return change


def _tensors(edit: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    def change(folder: Path) -> None:
        from safetensors.torch import load, save

        path = folder / "weights.safetensors"
        tensors = load(path.read_bytes())
        path.write_bytes(save(edit(tensors) or tensors))
        seal(folder)

    return change


WEIGHT = "core.rnn.weight_hh_l0"


def _first(change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return _tensors(lambda tensors: {**tensors, WEIGHT: change(tensors[WEIGHT])})


BUNDLES: dict[str, Change] = {
    **{
        f"core {kind!r}": edited("config.json", assign("core", "kind", kind))
        for kind in (
            "os.system",
            "mmseq_evil",
            "mmseq_evil:Core",
            "mmseq.cores.gru",
            "../evil",
            "evil.py",
            "",
            "gru\0",
        )
    },
    **{
        f"{way[0]} by a dotted name": edited("config.json", assign(*way, "kind", "mmseq_evil.Evil"))
        for way in [("modalities", "v"), ("fusion",), ("tasks", "y"), ("balance",), ("data", "source")]
    },
    "encoder": edited("config.json", assign("modalities", "v", "encoder", "kind", "mmseq_evil")),
    "kind is a map": edited("config.json", assign("core", "kind", {"kind": "os"})),
    "kind is long": edited("config.json", assign("core", "kind", "x" * 1_000_000)),
    "plugin and its kind": edited(
        "config.json", lambda c: c.update(plugins=["evil.py"], core={"kind": "evil", "hidden": 3})
    ),
    "config of another model": edited("config.json", assign("core", "hidden", 4)),
    "giant hidden": edited("config.json", assign("core", "hidden", 1_000_000)),
    "hidden of 2^62": edited("config.json", assign("core", "hidden", 1 << 62)),
    "hidden of 2^300": edited("config.json", assign("core", "hidden", 1 << 300)),
    "giant width": edited("config.json", assign("fusion", "width", 1 << 40)),
    "many layers": edited("config.json", assign("core", "layers", 3)),
    "name with a way out": edited("config.json", assign("name", "../../x")),
    "modality with a way out": edited("config.json", assign("modalities", "../x", {"kind": "numeric"})),
    "facts without a modality": edited("facts.json", lambda f: f["modalities"].pop("v") and None),
    "facts of a modality too many": edited(
        "facts.json", lambda f: assign("modalities", "z", f["modalities"]["v"])(f)
    ),
    "facts that are lists": edited("facts.json", assign("modalities", [])),
    "facts of a list": edited("facts.json", assign("modalities", "v", [])),
    "unknown fact": edited("facts.json", assign("modalities", "v", "__class__", "os")),
    "more means than columns": edited("facts.json", assign("modalities", "v", "mean", [0.0, 0.0, 0.0])),
    "no means": edited("facts.json", assign("modalities", "v", "mean", [])),
    "more vocabularies": edited(
        "facts.json", assign("modalities", "c", "vocabularies", [["u"], ["v"], ["w"]])
    ),
    "no vocabularies": edited("facts.json", assign("modalities", "c", "vocabularies", [])),
    "another vocabulary": edited("facts.json", assign("modalities", "c", "vocabularies", [["u"]])),
    "huge mean": edited("facts.json", assign("modalities", "v", "mean", [10**400])),
    "task without columns": edited("facts.json", assign("tasks", "y", "columns", [])),
    "time scale of text": edited("facts.json", assign("time_scale", "1")),
    "time scale of 0": edited("facts.json", assign("time_scale", 0)),
    "time scale below 0": edited("facts.json", assign("time_scale", -1.0)),
    "time scale of a list": edited("facts.json", assign("time_scale", [1])),
    "another clock": edited("facts.json", assign("clock", "os")),
    "half weights": _tensors(lambda t: {name: value.half() for name, value in t.items()}),
    "whole-number weights": _tensors(lambda t: {name: value.long() for name, value in t.items()}),
    "complex weights": _tensors(lambda t: {name: value.to(torch.complex64) for name, value in t.items()}),
    "weights of two kinds": _first(lambda value: value.double()),
    "one whole-number weight": _first(lambda value: value.int()),
    "weights turned": _first(lambda value: value.T.contiguous()),
    "weights of one number": _first(lambda value: value.sum()),
    "weights with an axis more": _first(lambda value: value[None]),
    "empty weights": _first(lambda value: value[:0]),
    "a weight less": _tensors(lambda t: {name: value for name, value in t.items() if name != WEIGHT}),
    "a weight more": _tensors(lambda t: {**t, "../../x": torch.zeros(1)}),
    "no config": without("config.json"),
    "no facts": without("facts.json"),
    "no weights": without("weights.safetensors"),
}


@pytest.mark.parametrize("name", some(BUNDLES))
def test_bundles(attack: Attack, name: str) -> None:
    """caught: a kind imported by its dotted name; a model built before its size is compared with the weights;
    facts that only fail when the model is used; weights cast silently."""
    found = attack("bundle", BUNDLES[name])
    refused(found, "bundle")
    if name.startswith("giant"):  # else it would be memory that was asked for, and refused
        assert "must be torch.float32 (" in found.message, found.message


def test_plugins_that_a_bundle_names_are_not_imported(attack: Attack) -> None:
    """The model needs none of them. caught: `plugins` imported as a run's own YAML has it."""
    places = ["evil.py", "/tmp/../evil.py", "mmseq_evil", "bundle/evil.py"]
    found = attack("bundle", edited("config.json", assign("plugins", places)))
    assert (found.code, found.message) == (0, "")


FILES = [("bundle", "weights.safetensors"), ("bundle", "config.json"), ("checkpoint", "progress.json")]
PLACES: dict[str, Callable[[str], Change]] = {
    "link": linked,
    "pipe": piped,
    "zeros without end": lambda name: device(name, "/dev/zero"),
    "terminal": lambda name: device(name, "/dev/tty"),
    "terabyte": sparse,
    "folder": lambda name: lambda folder: _folder(folder / name),
}


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(("of", "place"), pairs(FILES, PLACES))
def test_places(attack: Attack, of: tuple[str, str], place: str) -> None:
    """caught: links followed; waiting for a pipe; reading as much as a file says it has."""
    kind, file = of
    refused(attack(kind, PLACES[place](file)), file)


# Of checkpoints.

CHECKPOINTS: dict[str, Change] = {
    "step of text": edited("progress.json", assign("step", "1")),
    "step of a fraction": edited("progress.json", assign("step", 1.5)),
    "no step": edited("progress.json", lambda p: p.pop("step") and None),
    "unknown number": edited("progress.json", assign("__class__", "os")),
    "guard of a list": edited("progress.json", assign("guard", [])),
    "guard with more": edited("progress.json", assign("guard", "x", 1)),
    "ids of a map": replaced("carried.json", b"{}\n"),
    "ids of numbers": replaced("carried.json", b"[1]\n"),
    "more ids than states": replaced("carried.json", b'["p1", "p2"]\n'),
    "fewer ids than states": replaced("carried.json", b"[]\n"),
    "facts of a list": replaced("facts.json", b"[]\n"),
    "state of one number": replaced(
        "carried.safetensors",
        safetensors({"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, b"\0" * 4),
    ),
    "no progress": without("progress.json"),
    "no weights": without("weights.safetensors"),
}


@pytest.mark.parametrize("name", some(CHECKPOINTS))
def test_checkpoints(attack: Attack, name: str) -> None:
    """caught: TypeError and KeyError of a progress of another shape let through."""
    refused(attack("checkpoint", CHECKPOINTS[name]), "checkpoint")


# Of stores.


def seal_store(folder: Path, edit: Callable[[dict[str, Any]], Any] | None = None) -> None:
    """The manifest as the files are now, changed, and its digest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    listings = [(folder, manifest["files"])]
    listings += [(folder / f"shard-{i:05d}", shard["files"]) for i, shard in enumerate(manifest["shards"])]
    for place, files in listings:
        for name in files:
            if (place / name).is_file():
                content = (place / name).read_bytes()
                files[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if edit is not None:
        manifest = edit(manifest) or manifest
    path.write_bytes(dump(manifest))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.sha256").write_text(f"{digest}  manifest.json\n")


def file_of_store(name: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)
        seal_store(folder)

    return change


def array_of_store(name: str, edit: Callable[[np.ndarray], Any]) -> Change:
    """An array with other numbers."""

    def change(folder: Path) -> None:
        array = np.load(folder / name)
        returned = edit(array)
        np.save(folder / name, array if returned is None else returned)
        seal_store(folder)

    return change


SHARD = "shard-00001"
ARRAY_FILES = ("index.v.npy", "ids.npy", f"{SHARD}/steps.time.npy", f"{SHARD}/rows.v.values.npy")


@pytest.mark.parametrize(("file", "name"), pairs(ARRAY_FILES, ARRAYS))
def test_arrays(attack: Attack, file: str, name: str) -> None:
    """caught: numpy's own reader, which compiles the header, and allocates what it says."""
    refused(attack("store", file_of_store(file, ARRAYS[name])), file)


def _put(i: int, value: Any) -> Callable[[np.ndarray], None]:
    def edit(array: np.ndarray) -> None:
        array.reshape(-1)[i] = value

    return edit


NUMBERS: dict[str, tuple[str, Callable[[np.ndarray], Any]]] = {
    "index below 0": ("index.v.npy", _put(0, -1)),
    "index beyond": ("index.v.npy", _put(-1, 10**9)),
    "index falls": ("index.v.npy", _put(2, 0)),
    "steps below 0": ("steps.index.npy", _put(1, -5)),
    "steps beyond": ("steps.index.npy", _put(1, 10**15)),
    "step below 0": (f"{SHARD}/rows.v.step.npy", _put(0, -1)),
    "step beyond": (f"{SHARD}/rows.v.step.npy", _put(-1, 10**6)),
    "steps fall": ("shard-00002/rows.v.step.npy", lambda a: a[::-1].copy()),
    "code below -1": (f"{SHARD}/rows.c.code.npy", _put(0, -2)),
    "code beyond": (f"{SHARD}/rows.c.code.npy", _put(0, 99)),
    "time of NaN": (f"{SHARD}/steps.time.npy", _put(0, np.nan)),
    "times fall": (f"{SHARD}/steps.time.npy", lambda a: a[::-1].copy()),
    "numbers of another dtype": (f"{SHARD}/rows.v.values.npy", lambda a: a.astype(np.float64)),
    "a column more": (f"{SHARD}/rows.v.values.npy", lambda a: np.repeat(a, 2, 1)),
    "no columns": (f"{SHARD}/rows.v.values.npy", lambda a: a[:, 0].copy()),
    "a row less": (f"{SHARD}/rows.v.values.npy", lambda a: a[1:].copy()),
    "ids that are no text": ("ids.npy", lambda a: np.full(len(a), 0x110000, np.uint32).view("<U1")),
    "ids of half a pair": ("ids.npy", lambda a: np.full(len(a), 0xD800, np.uint32).view("<U1")),
}


@pytest.mark.parametrize("name", some(NUMBERS))
def test_numbers(attack: Attack, name: str) -> None:
    """caught: indices that reach into other samples' rows, or wrap to the last; codes without a word."""
    file, edit = NUMBERS[name]
    refused(attack("store", array_of_store(file, edit)), "store")


def _store_manifest(edit: Callable[[dict[str, Any]], Any]) -> Change:
    return lambda folder: seal_store(folder, edit)


STORES: dict[str, Change] = {
    **{
        f"file {name[:12]!r}": _store_manifest(
            lambda m, name=name: assign("files", name, next(iter(m["files"].values())))(m)
        )
        for name in ("../x", "/etc/passwd", "", "..", "x" * 9_000, "a\0b")
    },
    "no file of a shard": _store_manifest(lambda m: m["shards"][0]["files"].clear()),
    "negative samples": _store_manifest(assign("n_samples", -1)),
    "giant samples": _store_manifest(assign("n_samples", 1 << 60)),
    "samples of 2^100": _store_manifest(assign("n_samples", 1 << 100)),
    "giant rows": _store_manifest(assign("modalities", "v", "n_rows", 1 << 60)),
    "giant steps": _store_manifest(assign("shards", 0, "n_steps", 1 << 60)),
    "shard of nobody": _store_manifest(assign("shards", 0, "first", 3)),
    "shard beyond": _store_manifest(assign("shards", 1, "stop", 99)),
    "no shards": _store_manifest(assign("shards", [])),
    "many shards": _store_manifest(lambda m: assign("shards", m["shards"] * 3_000)(m)),
    "modality with a way out": _store_manifest(
        lambda m: assign("modalities", "../../x", m["modalities"]["v"])(m)
    ),
    "columns without end": _store_manifest(assign("modalities", "v", "numbers", ["x"] * 1_000_000)),
    "vocabulary too short": _store_manifest(assign("modalities", "c", "vocabularies", [["u"]])),
    "no vocabulary": _store_manifest(assign("modalities", "c", "vocabularies", [])),
    "dtype of objects": _store_manifest(assign("modalities", "v", "dtype", "object")),
    "another clock": _store_manifest(assign("clock", "moment")),
    "groups": _store_manifest(assign("group_names", ["a"])),
    "unknown key": _store_manifest(assign("__class__", "os")),
    "list": _store_manifest(lambda m: [1]),
    "version of a list": _store_manifest(assign("schema_version", [2])),
    "NaN in the plan": _store_manifest(assign("plan", {"x": float("nan")})),
    "pipe": lambda folder: _fifo(folder / "ids.npy"),
    "pipe in a shard": lambda folder: _fifo(folder / SHARD / "steps.time.npy"),
    "manifest is a pipe": lambda folder: _fifo(folder / "manifest.json"),
    "manifest is a link": lambda folder: _link(folder / "manifest.json"),
    "file is a link": lambda folder: _link(folder / "ids.npy"),
    "shard is a link": lambda folder: _link(folder / SHARD),
    "file of a shard is a link": lambda folder: _link(folder / SHARD / "steps.time.npy"),
    "manifest without end": lambda folder: os.truncate(folder / "manifest.json", 1 << 40),
}


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    outside = path.parents[2] / "outside"
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("name", some(STORES))
def test_stores(attack: Attack, name: str) -> None:
    """caught: names of the manifest joined to the folder; numbers of the manifest trusted."""
    refused(attack("store", STORES[name]), "store")


# On the command line.


SCRATCH = Path(tempfile.gettempdir()) / "mmseq-"
"""Begins the names of the folders in which raw inputs are prepared."""
VERBS = ("predict", "evaluate", "train")


def command(verb: str, folder: Path, experiment: Experiment) -> list[str]:
    if verb == "predict":
        data = str(experiment.data.source.root)
        return ["predict", str(folder), "--input", data, "--output", str(folder / "out.csv")]
    if verb == "train":
        shutil.rmtree(folder / "model", ignore_errors=True)  # else there is nothing left to do
        return ["train", "--resume", str(folder)]
    return ["evaluate", str(folder), "--split", "train"]


@pytest.fixture(scope="module")
def run(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return mmseq.train(experiment, output=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def shell(run: Run, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What the verbs import is imported."""
    folder = tmp_path_factory.mktemp("verbs") / "run"
    shutil.copytree(run.path, folder)
    lines = [command(verb, folder, experiment) for verb in VERBS[:2]]
    ended = folder.parent / "ended"
    shutil.copytree(run.path, ended)
    server = Server({}, [*lines, command("train", ended, experiment)])
    yield server
    server.close()


def latest(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("step-*"))


def _put_into(part: Callable[[Path], Path], change: Change) -> Callable[[Path], None]:
    return lambda run: change(part(run))


def model_of(run: Path) -> Path:
    return run / "model"


def _plugins(run: Path) -> None:
    path = run / "config.resolved.yaml"
    text = path.read_text().replace("plugins: []", "plugins: [evil.py, ../mmseq_evil.py]")
    path.write_text(text.replace("kind: gru", "kind: evil"))
    (run / "evil.py").write_text(EVIL)


RUNS: dict[str, tuple[tuple[str, ...], Callable[[Path], None]]] = {
    "core by a dotted name": (VERBS[:2], _put_into(model_of, BUNDLES["core 'mmseq_evil'"])),
    "giant hidden": (VERBS[:2], _put_into(model_of, BUNDLES["giant hidden"])),
    "pickle": (VERBS[:2], _put_into(model_of, replaced("weights.safetensors", TENSORS["pickle"]))),
    "link": (VERBS[:2], _put_into(model_of, linked("facts.json"))),
    "pipe": (VERBS[:2], _put_into(model_of, piped("config.json"))),
    "name with a way out": (VERBS[:2], _put_into(model_of, MANIFESTS["name '../outside'"])),
    "facts that do not fit": (VERBS[:2], _put_into(model_of, BUNDLES["no means"])),
    "checkpoint: pickle": (VERBS[2:], _put_into(latest, replaced("weights.safetensors", TENSORS["pickle"]))),
    "checkpoint: deep": (VERBS[2:], _put_into(latest, replaced("progress.json", JSON["deep"]))),
    "checkpoint: facts": (VERBS[2:], _put_into(latest, replaced("facts.json", b"{}\n"))),
    "checkpoint: other weights": (
        VERBS[2:], _put_into(latest, replaced("weights.safetensors", TENSORS["other tensors"]))
    ),
    "checkpoint: name with a way out": (VERBS[2:], _put_into(latest, MANIFESTS["name '../outside'"])),
    "plugins": (VERBS[2:], _plugins),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "verb"), [(name, verb) for name, (verbs, _) in RUNS.items() for verb in verbs]
)
def test_command_line(
    name: str, verb: str, run: Run, shell: Server, experiment: Experiment, tmp_path: Path
) -> None:
    """Exit code 1 or 3, or 2 for a configuration; one message, no traceback, nothing of the folder runs.

    caught: `plugins` of a run's resolved YAML imported.
    """
    folder = tmp_path / "run"
    shutil.copytree(run.path, folder)
    (tmp_path / "mmseq_evil.py").write_text(EVIL)
    line = command(verb, folder, experiment)
    RUNS[name][1](folder)
    tables = Path(str(experiment.data.source.root)).parent
    found = shell.watch("cli", line, [folder, tables, SCRATCH, Path("/proc"), Path("/sys")], tmp_path)
    assert not found.seen, found.seen
    assert not list(tmp_path.rglob("pwned"))
    assert found.code in (1, 2, 3), found.message
    assert "Traceback" not in found.message and "bug in mmseq" not in found.message, found.message


def test_models_of_runs(run: Run, server: Server, tmp_path: Path) -> None:
    """`Run(…).model()` imports nothing that its folder names.

    caught: plugins of the resolved YAML imported.
    """
    folder = tmp_path / "run"
    shutil.copytree(run.path, folder)
    good = server.watch("run", str(folder), [folder], tmp_path)
    assert good.code == 0, good.message
    _plugins(folder)
    assert server.watch("run", str(folder), [folder], tmp_path).code == 0  # the model needs none of them
    for name, content in {"pickle": TENSORS["pickle"], "list": b"[]"}.items():
        replaced("weights.safetensors", content)(folder / "model")
        found = server.watch("run", str(folder), [folder], tmp_path)
        assert (found.code, found.seen) == (1, []), name
    assert not list(tmp_path.rglob("pwned"))
