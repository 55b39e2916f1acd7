"""`course_lib.search`: stopped, killed, shared or spread, a search comes out as if nothing had happened."""

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from course_lib.backend import keras
from course_lib.search import _restore, search

X = np.linspace(-1, 1, 40, dtype=np.float32)[:, np.newaxis]
SPACE = {"units": IntDistribution(2, 9), "learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}
SETTINGS = {"epochs": 3, "batch_size": 15, "validation_split": 0.25}


class Observed(keras.Sequential):
    """A network that notes the epochs it trains in the file `LOG`, and can be told to stop in one of them."""

    def fit(self, *args, **kwargs):
        """Train one epoch."""
        epoch = kwargs["initial_epoch"]
        note(f"begin {epoch}")
        if os.environ.get("HANG_IN_EPOCH") == str(epoch):
            time.sleep(600)  # it is killed long before
        if os.environ.get("INTERRUPT_IN_EPOCH") == str(epoch):
            raise KeyboardInterrupt
        history = super().fit(*args, **kwargs)
        note(f"end {epoch}")
        return history


def note(words):
    """Add a line to the file `LOG`."""
    with open(os.environ["LOG"], "a") as file:
        file.write(f"{words} {os.getpid()}\n")


def noted(words=""):
    """The lines of the file `LOG` that begin with `words`."""
    with contextlib.suppress(FileNotFoundError):
        return [line for line in Path(os.environ["LOG"]).read_text().splitlines() if line.startswith(words)]
    return []


def build(units, learning_rate):
    """A network with all that a checkpoint has to hold: weights, random state, running means, momentum."""
    layers = keras.layers
    network = Observed(
        [
            keras.Input((1,)),
            layers.Dense(units, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    network.compile(
        keras.optimizers.RMSprop(learning_rate, momentum=0.5), loss="mse", metrics=["mae"], run_eagerly=True
    )
    return network


def run(folder, **changes):
    """Run a search of two trials."""
    return search(build, SPACE, X, X**2, folder=folder, **({"trials": 2} | SETTINGS | changes))


@pytest.fixture(autouse=True)
def log(monkeypatch, tmp_path):
    """No settings from outside, and a fresh `LOG`."""
    monkeypatch.delenv("COURSE_SMOKE", raising=False)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The trials of a search that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COURSE_SMOKE", raising=False)
        patch.setenv("LOG", str(folder / "log"))
        return run(folder, trials=3).trials


def assert_same(trials, expected):
    """The same hyperparameters, and the same numbers after each epoch."""
    assert [trial.number for trial in trials] == [trial.number for trial in expected]
    for trial, other in zip(trials, expected, strict=True):
        assert trial.state == other.state == TrialState.COMPLETE
        assert trial.params == other.params
        assert trial.user_attrs["history"].keys() == other.user_attrs["history"].keys()
        for name, values in other.user_attrs["history"].items():
            np.testing.assert_allclose(trial.user_attrs["history"][name], values, rtol=1e-4)
        assert trial.intermediate_values.keys() == other.intermediate_values.keys()
        assert trial.value == pytest.approx(other.value, rel=1e-4)


def test_what_a_trial_holds(undisturbed):
    for trial in undisturbed:
        history = trial.user_attrs["history"]
        assert set(history) == {"loss", "mae", "val_loss", "val_mae"}
        assert trial.value == min(history["val_loss"])
        assert list(trial.intermediate_values.values()) == history["val_loss"]
        assert len(trial.user_attrs["seconds"]) == 3
        assert 2 <= trial.params["units"] <= 9 and 1e-3 <= trial.params["learning_rate"] <= 1e-1
    assert len({trial.params["learning_rate"] for trial in undisturbed}) == 3


def test_interrupted_and_gone_on_with(tmp_path, undisturbed, monkeypatch, capsys):
    monkeypatch.setenv("INTERRUPT_IN_EPOCH", "1")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.delenv("INTERRUPT_IN_EPOCH")
    study = run(tmp_path)
    assert_same(study.trials, undisturbed[:2])
    assert "Trial 0 goes on after epoch 1." in capsys.readouterr().out
    assert len(noted("end")) == 2 * 3 and len(noted("begin")) == 2 * 3 + 1
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob("*.part"))
    assert_same(run(tmp_path, trials=3).trials, undisturbed)
    begun = len(noted())
    assert_same(run(tmp_path, trials=3).trials, undisturbed)
    assert len(noted()) == begun


def test_damaged_checkpoint(tmp_path, undisturbed, monkeypatch, capsys):
    monkeypatch.setenv("INTERRUPT_IN_EPOCH", "1")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, trials=1)
    monkeypatch.delenv("INTERRUPT_IN_EPOCH")
    checkpoint = tmp_path / "trial-0.npz"
    whole = checkpoint.read_bytes()
    one_wrong_bit = bytearray(whole)
    one_wrong_bit[whole.index(b"variable_0.npy") + 150] ^= 1
    other_network = build(units=20, learning_rate=0.1)
    other_network.optimizer.build(other_network.trainable_variables)
    for contents in (whole, whole[: len(whole) // 2], b"no checkpoint", bytes(one_wrong_bit)):
        checkpoint.write_bytes(contents)
        before = other_network.get_weights()
        assert _restore(checkpoint, other_network, 0) == ({}, [])
        assert "checkpoint of trial 0 can't be used" in capsys.readouterr().out
        for weights, after in zip(before, other_network.get_weights(), strict=True):
            np.testing.assert_array_equal(weights, after)
    assert_same(run(tmp_path, trials=1).trials, undisturbed[:1])
    assert "the trial begins again" in capsys.readouterr().out
    assert len(noted("end")) == 1 + 3


def test_unfinished_line_in_the_journal(tmp_path, undisturbed):
    run(tmp_path, trials=1)
    with (tmp_path / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code":4,"worker')
    assert_same(run(tmp_path, trials=2).trials, undisturbed[:2])


def test_shared_with_a_process_that_is_killed(tmp_path, undisturbed, capfd):
    """Another process hangs in the second epoch of trial 0, this one trains the rest, the other is killed."""
    program = f"import test_search; test_search.run({str(tmp_path)!r}, trials=3)"
    other = subprocess.Popen(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, env=os.environ | {"HANG_IN_EPOCH": "1"}
    )
    try:
        deadline = time.monotonic() + 120
        while f"begin 1 {other.pid}" not in noted():
            assert other.poll() is None
            assert time.monotonic() < deadline, "the other process has not begun"
            time.sleep(0.05)
        states = [trial.state for trial in run(tmp_path, trials=3).trials]
        assert states == [TrialState.RUNNING, TrialState.COMPLETE, TrialState.COMPLETE]
    finally:
        other.kill()
        other.wait()
    assert_same(run(tmp_path, trials=3).trials, undisturbed)
    assert "Trial 0 goes on after epoch 1." in capfd.readouterr().out
    assert len(noted("end")) == 3 * 3  # no finished epoch was trained twice
    assert len(noted("begin")) == 3 * 3 + 1  # the epoch in hand was


def build_together(**hyperparameters):
    """Begin when both workers are there, so that neither does all the work."""
    note("built")
    deadline = time.monotonic() + 120
    while len({line.split()[-1] for line in noted("built")}) < 2:
        assert time.monotonic() < deadline, "the other worker has not begun"
        time.sleep(0.05)
    random.random()  # as Dask's own threads do
    return build(**hyperparameters)


def test_dask(tmp_path, undisturbed):
    distributed = pytest.importorskip("distributed")
    cloudpickle = pytest.importorskip("cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers can't import this file
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        study = search(
            build_together, SPACE, X, X**2, trials=3, folder=tmp_path / "search", client=client, **SETTINGS
        )
    assert_same(study.trials, undisturbed)
    assert len(noted("end")) == 3 * 3
    assert len({line.split()[-1] for line in noted("end")}) == 2


def test_dask_workers_with_threads(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(ValueError, match="exactly one"),
    ):
        run(tmp_path, client=client)


def test_interrupted_between_checkpoint_and_report(tmp_path, undisturbed, monkeypatch):
    from course_lib import search as module

    save = module._save

    def save_and_stop(path, network, history, seconds):
        save(path, network, history, seconds)
        if len(seconds) == SETTINGS["epochs"]:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, trials=1)
    monkeypatch.setattr(module, "_save", save)
    trials = run(tmp_path, trials=1).trials
    assert_same(trials, undisturbed[:1])
    assert len(trials[0].intermediate_values) == SETTINGS["epochs"]


def test_early_stopping_across_an_interruption(tmp_path, monkeypatch):
    still = {"units": IntDistribution(2, 9), "learning_rate": FloatDistribution(0, 0)}

    def motionless(**hyperparameters):
        """A network that never improves."""
        network = build(**hyperparameters)
        network.layers[1].momentum = 1.0
        return network

    monkeypatch.setenv("INTERRUPT_IN_EPOCH", "2")
    settings = SETTINGS | {"epochs": 10, "patience": 3, "trials": 1, "folder": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        search(motionless, still, X, X**2, **settings)
    monkeypatch.delenv("INTERRUPT_IN_EPOCH")
    study = search(motionless, still, X, X**2, **settings)
    assert len(study.trials[0].user_attrs["history"]["val_loss"]) == 1 + 3
    assert len(noted("end")) == 1 + 3


def test_other_settings_in_the_same_folder(tmp_path):
    run(tmp_path, trials=1, epochs=1)
    with pytest.raises(ValueError, match=r"other settings \(epochs, batch_size changed\)"):
        run(tmp_path, trials=1, epochs=2, batch_size=4)
    with pytest.raises(ValueError, match=r"\(data changed\)"):
        search(build, SPACE, X, X, folder=tmp_path, trials=1, **(SETTINGS | {"epochs": 1}))


def test_pruner_and_monitor(tmp_path):
    study = run(tmp_path, monitor="mae", pruner=optuna.pruners.ThresholdPruner(lower=1e9))
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2
    assert all(len(trial.user_attrs["history"]["mae"]) == 1 for trial in study.trials)
    assert study.direction.name == "MAXIMIZE"


def test_failed_trial_is_told_and_counted(tmp_path, capsys):
    def impossible(units, learning_rate):
        """Refuse."""
        raise ValueError("28 → 19 → 9 → 0")

    with pytest.raises(ValueError, match="→ 0"):
        search(impossible, SPACE, X, X**2, folder=tmp_path, trials=2, **SETTINGS)
    study = run(tmp_path)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert "Trial 0: failed" in capsys.readouterr().out


def test_training_that_diverges(tmp_path, capsys):
    study = search(build, SPACE, X, np.full_like(X, np.nan), folder=tmp_path, trials=2, **SETTINGS)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
    assert len(noted("end")) == 2  # after the first epoch there is nothing to hope for
    assert capsys.readouterr().out.count("failed") == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials"),
        ({"validation_split": 0.0}, "validation_split is 0.0"),
        ({"monitor": "val_accuracy"}, "'val_accuracy'; the networks report loss, mae"),
    ],
)
def test_wrong_arguments(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **changes)


def test_network_that_is_not_compiled(tmp_path):
    with pytest.raises(ValueError, match="compiled"):
        search(
            lambda units, learning_rate: keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)]),
            SPACE, X, X**2, folder=tmp_path, trials=1, **SETTINGS,
        )  # fmt: skip


def test_smoke(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_SMOKE", "1")
    x = np.zeros((1000, 1))
    study = search(build, SPACE, x, x, folder=tmp_path, trials=10, **SETTINGS)
    assert [len(trial.user_attrs["history"]["loss"]) for trial in study.trials] == [1, 1]
    assert "Smoke test: 2 trials of one epoch on 256 images" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.log"))
