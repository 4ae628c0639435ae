"""A run's calibration: fitted, kept with the model, and used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmseq
from mmseq.bundle import read_folder, write_folder
from mmseq.calibration.model import CALIBRATION, Calibration, NoTask, calibration_of
from mmseq.cli._model import open_model
from mmseq.errors import CheckpointError, ConfigError
from mmseq.inference.bootstrap import Collected, collect
from mmseq.inference.predict import predict
from mmseq.model import Model
from mmseq.model_bundle import SCHEMA, WEIGHTS

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def run(toy_run: mmseq.Run, tmp_path: Path) -> mmseq.Run:
    return mmseq.Run(shutil.copytree(toy_run.path, tmp_path / "run"))


@pytest.fixture(scope="module")
def calibrated(toy_run: mmseq.Run, tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    """With a coverage that the few samples of the validation split allow."""
    run = mmseq.Run(shutil.copytree(toy_run.path, tmp_path_factory.mktemp("calibrated") / "run"))
    mmseq.calibrate(run, coverage=0.8)
    return run


def _edit(run: mmseq.Run, change: Change) -> None:
    """Another calibration in a bundle that agrees with its digests."""
    files = read_folder(run.bundle, SCHEMA)
    told = files.json(CALIBRATION)
    change(told)
    write_folder(run.bundle, {**files, CALIBRATION: json.dumps(told).encode()}, SCHEMA)


def test_it_is_kept_beside_files_that_stay_as_they_are(calibrated: mmseq.Run, toy_run: mmseq.Run) -> None:
    before, after = (read_folder(run.bundle, SCHEMA) for run in (toy_run, calibrated))
    assert after.keys() - before.keys() == {CALIBRATION}
    assert all(after[name] == content for name, content in before.items())
    found = calibrated.model().calibration
    assert found is not None and found.split == "validation" and found.coverage == 0.8
    assert list(found.tasks) == ["sick", "level", "flags", "stage", "next"]
    assert isinstance(found.tasks["next"], NoTask)
    assert toy_run.model().calibration is None


def test_it_survives_saving_and_loading(calibrated: mmseq.Run, tmp_path: Path) -> None:
    model = calibrated.model()
    model.save(tmp_path / "again")
    assert Model.load(tmp_path / "again").calibration == model.calibration


def test_report(calibrated: mmseq.Run) -> None:
    report = json.loads((calibrated.path / "metrics" / "calibration.json").read_text())
    assert list(report) == ["sick", "level", "flags.low", "flags.high", "stage", "next"]
    assert report["next"]["remark"].startswith("not calibrated: NextStepHead tells neither")
    assert report["stage"]["labels"] > report["stage"]["units"] == 16
    assert list(report["sick"]["measures"]) == ["ece", "nll", "coverage", "set size"]
    assert list(report["level"]["measures"]) == ["coverage", "width"]
    assert report["level"]["measures"]["coverage"][0] is None


def test_before_is_what_evaluate_says(run: mmseq.Run) -> None:
    """Of the split that is reported, whose labels are its own."""
    report = mmseq.calibrate(str(run.path), coverage=0.8, report="test")
    whole = mmseq.evaluate(run, "test")
    for task in ("sick", "stage"):
        assert report[task]["measures"]["nll"].before == pytest.approx(
            whole[task]["metrics"]["nll"], rel=1e-5
        )
        assert report[task]["labels"] == whole[task]["labels"]


def test_predictions(calibrated: mmseq.Run, toy: Path) -> None:
    """Probabilities are those of the calibration, the rest is as it was, and sets and ends stand beside."""
    model = calibrated.model()
    plain, told = (predict(model, toy.parent / "data", calibrated=c).table for c in (False, True))
    found = model.calibration
    assert found is not None
    new = [name for name in told.column_names if name not in plain.column_names]
    assert new == [
        "sick.set_no", "sick.set_yes", "level.low", "level.high", "flags.low.set_0", "flags.low.set_1",
        "flags.high.set_0", "flags.high.set_1", "stage.set_early", "stage.set_late",
    ]  # fmt: skip
    for name in plain.column_names:
        same = plain[name].equals(told[name])
        assert same == (name.split(".")[0] in ("id", "time", "level", "next") or name in ("sick", "stage"))
    p = torch.tensor(np.stack([plain[f"stage.p_{c}"].to_numpy() for c in ("early", "late")], 1)).double()
    mapped = found.tasks["stage"].columns[0].affine(p.log()).exp()  # type: ignore[union-attr]
    assert np.allclose(told["stage.p_late"].to_numpy(), mapped[:, 1].numpy(), atol=1e-5)
    margin = found.tasks["level"].columns[0].margin  # type: ignore[union-attr]
    assert np.allclose(told["level.high"].to_numpy() - told["level"].to_numpy(), margin)


def test_what_is_left_out_is_told(calibrated: mmseq.Run, toy: Path) -> None:
    with pytest.warns(UserWarning) as caught:
        calibrated.model().predict(toy.parent / "data", calibrated=True, every_step=True)
    said = [str(warning.message) for warning in caught]
    assert any(line.startswith("next: not calibrated: ") for line in said)
    assert any(line.startswith("sick: calibrated as of the last step of a sample") for line in said)
    assert not any(line.startswith("stage: ") for line in said)


def test_without_one(toy_run: mmseq.Run, toy: Path) -> None:
    with pytest.raises(ConfigError, match="carries no calibration; make one with `mmseq calibrate RUN`"):
        predict(toy_run, toy.parent / "data", calibrated=True)


def test_other_weights_are_refused(calibrated: mmseq.Run, toy: Path, tmp_path: Path) -> None:
    """Weights of one model beside the calibration of another. Caught: a check of names alone."""
    files = read_folder(calibrated.bundle, SCHEMA)
    model = calibrated.model()
    with torch.no_grad():
        next(model.heads["sick"].parameters()).add_(1e-3)
    model.save(tmp_path / "changed")
    changed = Model.load(tmp_path / "changed")
    assert read_folder(tmp_path / "changed", SCHEMA)[WEIGHTS] != files[WEIGHTS]
    with pytest.raises(CheckpointError, match="was fitted for other weights than the model has now"):
        predict(changed, toy.parent / "data", calibrated=True)
    assert predict(changed, toy.parent / "data").table.num_rows == 80


def test_a_flipped_bit_is_refused(calibrated: mmseq.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(calibrated.bundle, tmp_path / "model"))
    content = bytearray((folder / CALIBRATION).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / CALIBRATION).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"calibration\.json: its sha256 is not the manifest's"):
        Model.load(folder)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": lambda path: path.write_bytes(path.read_bytes().replace(b"0.8", b"0.9")),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_one_is_replaced(
    name: str, calibrated: mmseq.Run, toy_run: mmseq.Run, toy: Path, tmp_path: Path
) -> None:
    """Caught: the whole bundle was refused, also to `calibrate`, which alone could mend it."""
    run = mmseq.Run(shutil.copytree(calibrated.path, tmp_path / "run"))
    DAMAGES[name](run.bundle / CALIBRATION)
    told = r"calibration\.json: .*, or write a new one with `mmseq calibrate RUN`, RUN being"
    for calls in (True, False):
        with pytest.raises(CheckpointError, match=told):
            predict(run, toy.parent / "data", calibrated=calls)
    mmseq.calibrate(run, coverage=0.8)
    assert run.model().calibration == calibrated.model().calibration
    assert read_folder(run.bundle, SCHEMA) == read_folder(calibrated.bundle, SCHEMA)


def test_one_that_the_manifest_does_not_list_is_replaced(run: mmseq.Run, calibrated: mmseq.Run) -> None:
    shutil.copy(calibrated.bundle / CALIBRATION, run.bundle)
    with pytest.raises(CheckpointError, match="does not list it; move it elsewhere, or write a new one with"):
        run.model()
    mmseq.calibrate(run, coverage=0.8)
    assert run.model().calibration == calibrated.model().calibration


def test_another_damage_is_no_matter_of_calibration(calibrated: mmseq.Run, tmp_path: Path) -> None:
    """Caught: what is damaged beside it was passed over, too."""
    run = mmseq.Run(shutil.copytree(calibrated.path, tmp_path / "run"))
    (run.bundle / "facts.json").write_bytes(b"{}")
    for use in (run.model, lambda: mmseq.calibrate(run, coverage=0.8)):
        with pytest.raises(CheckpointError, match=r"facts\.json: needs \d+ bytes; has 2; .*copy it again$"):
            use()


CHANGES: dict[str, Change] = {
    "another version": lambda told: told.update(version=2),
    "an unknown key": lambda told: told.update(more=1),
    "a coverage of 1": lambda told: told.update(coverage=1.0),
    "an unknown kind": lambda told: told["tasks"]["sick"].update(kind="other"),
    "words for numbers": lambda told: told["tasks"]["level"]["columns"][0].update(margin="wide"),
    "nothing": lambda told: told.clear(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_calibration_is_refused(name: str, calibrated: mmseq.Run, tmp_path: Path) -> None:
    run = mmseq.Run(shutil.copytree(calibrated.path, tmp_path / "run"))
    _edit(run, CHANGES[name])
    with pytest.raises(CheckpointError, match=r"model/calibration\.json: must be a .* with `mmseq calibrate"):
        run.model()


MISFITS: dict[str, Change] = {
    "a task less": lambda told: told["tasks"].pop("sick"),
    "a column more": lambda told: told["tasks"]["level"]["columns"].append({"margin": 1.0}),
    "another head's": lambda told: told["tasks"].update(sick=told["tasks"]["level"]),
    "too many scales": lambda told: told["tasks"]["sick"]["columns"][0]["affine"].update(scale=[1.0] * 3),
    "no scale": lambda told: told["tasks"]["sick"]["columns"][0]["affine"].update(scale=[]),
    "a scale of 0": lambda told: told["tasks"]["sick"]["columns"][0]["affine"].update(scale=[0.0]),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_the_heads_is_refused(
    name: str, calibrated: mmseq.Run, toy: Path, tmp_path: Path
) -> None:
    run = mmseq.Run(shutil.copytree(calibrated.path, tmp_path / "run"))
    _edit(run, MISFITS[name])
    with pytest.raises(CheckpointError, match="calibrate again"):
        predict(run, toy.parent / "data", calibrated=True)


@pytest.mark.parametrize(
    ("split", "options", "told"),
    [
        ("train", {}, "needs labels that the model has not learned; the train split came"),
        ("test", {"report": "test"}, "the test split is what is fitted; name another"),
        ("validation", {"coverage": 1.0}, "coverage must be above 0 and below 1; 1 came"),
        ("validation", {"method": "isotonic"}, "method must be one of temperature, vector; 'isotonic' came"),
        ("validation", {"by": "ward"}, "by must be one of sample, group; 'ward' came"),
    ],
)
def test_what_cannot_be(run: mmseq.Run, split: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        mmseq.calibrate(run, split, **options)
    assert not (run.bundle / CALIBRATION).exists()


def test_groups_count_as_one(run: mmseq.Run) -> None:
    """Four families are too few for 0.9, and enough for 0.75. Caught: samples counted, 16."""
    report = mmseq.calibrate(run, by="group", coverage=0.9)
    told = "no intervals: a coverage of 0.9 needs labels of 9 groups; there are 4"
    assert report["level"]["remark"] == told and report["level"]["units"] == 4
    assert mmseq.calibrate(run, by="group", coverage=0.75)["level"]["fitted"]


def test_another_calibration_replaces_it(run: mmseq.Run) -> None:
    mmseq.calibrate(run, coverage=0.5)
    mmseq.calibrate(run, coverage=0.8, method="vector")
    found = run.model().calibration
    assert found is not None and (found.coverage, found.method) == (0.8, "vector")


def test_it_repeats(calibrated: mmseq.Run, run: mmseq.Run) -> None:
    mmseq.calibrate(run, coverage=0.8)
    assert (run.bundle / CALIBRATION).read_bytes() == (calibrated.bundle / CALIBRATION).read_bytes()


def test_several_processes_are_refused(run: mmseq.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmseq.place.launched", lambda: object())
    with pytest.raises(ConfigError, match="calibrate: works in one process; start it without torchrun"):
        mmseq.calibrate(run)
    assert not (run.bundle / CALIBRATION).exists()


def test_it_is_signed_for_the_model_that_answered(run: mmseq.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model comes into the folder meanwhile: it is refused there. Caught: the model read again."""
    answering = run.model()

    def replaced(*given: Any) -> Collected:
        found = collect(*given)
        other = run.model()
        with torch.no_grad():
            next(other.heads["sick"].parameters()).add_(1e-3)
        other.save(run.bundle)
        return found

    monkeypatch.setattr("mmseq.inference.calibrate.collect", replaced)
    mmseq.calibrate(run, coverage=0.8, report="test")
    now = run.model()
    assert now.calibration is not None and now.calibration.model == answering.digest() != now.digest()
    with pytest.raises(CheckpointError, match="was fitted for other weights"):
        calibration_of(now)


class Killed(BaseException):
    """Stands in for the end of the process."""


def test_a_kill_amid_the_replacement_leaves_a_finished_run(
    run: mmseq.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two renames, when no folder `model` is there. Caught: that folder alone looked for."""
    rename, told = Path.rename, run.model().digest()

    def dying(path: Path, target: Path) -> Path:
        if target == run.bundle:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "rename", dying)
        mmseq.calibrate(run, coverage=0.8)
    assert not run.bundle.exists() and run.is_finished
    assert run.model().digest() == open_model(run.bundle, ()).digest() == told
    with pytest.raises(ConfigError, match="training has ended already"):
        mmseq.train(run.experiment, resume=run)
    assert not run.bundle.exists()
    mmseq.calibrate(run, coverage=0.8)
    model = run.model()
    assert model.calibration is not None and model.digest() == told
    assert not list(run.path.glob(".mmseq-*"))


def test_json_there_and_back(calibrated: mmseq.Run) -> None:
    content = (calibrated.bundle / CALIBRATION).read_bytes()
    assert Calibration.parse(json.loads(content), "here").dump() == content
