"""fit: what is replayed, what is not, and what survives a kill."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from course_lib import recipe, record, training
from course_lib.backend import keras
from course_lib.training import History, fit

layers = keras.layers
random_numbers = np.random.default_rng(0)
x = random_numbers.random((64, 6, 6, 1), np.float32)
y = random_numbers.integers(0, 3, 64)


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """Give each test an empty folder of recorded runs."""
    monkeypatch.setenv("COURSE_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("COURSE_SMOKE", raising=False)
    return tmp_path / "runs"


def network(filters=2, seed=1, optimizer=None, **convolution):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(filters, 3, **convolution),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        optimizer or "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True
    )
    return model


def train(model=None, x=x, y=y, **arguments) -> History:
    arguments = {"epochs": 1, "batch_size": 24, "validation_split": 0.25, **arguments}
    return fit(model or network(), x, y, **arguments)


# --- replaying ----------------------------------------------------------------------------------------------


def test_a_replay_gives_the_same_history_and_the_same_network(capsys):
    first, second = network(), network()
    trained = train(first, epochs=2, note="sixty-four random images")
    replayed = train(second, epochs=2)
    assert (trained.replayed, replayed.replayed) == (False, True)
    assert trained.history == replayed.history
    assert trained.seconds == replayed.seconds
    np.testing.assert_array_equal(first.predict(x, verbose=0), second.predict(x, verbose=0))
    said = capsys.readouterr().out
    assert "Trained 2 epochs" in said
    assert "Replayed: 2 epochs" in said
    assert "Data: sixty-four random images" in said


CHANGES = {
    "layers": lambda: train(network(filters=3)),
    "a setting of a layer": lambda: train(network(activation="relu")),
    "a regularizer": lambda: train(network(kernel_regularizer=keras.regularizers.L2(0.02))),
    "the optimizer": lambda: train(network(optimizer="adam")),
    "the learning rate": lambda: train(network(optimizer=keras.optimizers.SGD(0.02))),
    "a schedule": lambda: train(
        network(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.01, 9)))
    ),
    "the seed": lambda: train(network(seed=2)),
    "an image": lambda: train(x=np.where(np.arange(x.size).reshape(x.shape) == 7, 0.5, x).astype(np.float32)),
    "a label": lambda: train(y=np.roll(y, 1)),
    "the epochs": lambda: train(epochs=2),
    "the batch size": lambda: train(batch_size=8),
    "the split": lambda: train(validation_split=0.5),
    "validation data": lambda: train(validation_split=0.0, validation_data=(x[:8], y[:8])),
    "a callback": lambda: train(callbacks=[keras.callbacks.EarlyStopping(patience=1)]),
    "fresh": lambda: train(fresh=True),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_trained_for_real(what):
    train()
    assert not CHANGES[what]().replayed


def test_what_does_not_decide_the_outcome_does_not_count():
    train(note="once", callbacks=[keras.callbacks.EarlyStopping(patience=3, verbose=0)])
    network()  # the names of layers count up
    assert train(
        x=x.astype(np.float64), note="again", callbacks=[keras.callbacks.EarlyStopping(patience=3)]
    ).replayed


def test_a_callback_with_a_function_is_told_apart_by_its_source():
    def halve(epoch, rate):
        return rate / 2

    def keep(epoch, rate):
        return rate

    def run(schedule):
        return train(callbacks=[keras.callbacks.LearningRateScheduler(schedule)])

    run(halve)
    assert run(halve).replayed
    assert not run(keep).replayed


def test_a_value_around_a_function_counts_too():
    def run(factor):
        return train(callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * factor)])

    run(0.5)
    assert run(0.5).replayed
    assert not run(0.9).replayed


def test_a_callback_that_may_do_anything_is_always_trained(capsys):
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    train(callbacks=[watch])
    train(callbacks=[watch])
    assert seen == [0, 0]
    assert "not recorded, because the callback LambdaCallback" in capsys.readouterr().out


def test_training_on_is_not_the_first_training_again():
    model = network()
    train(model)
    after = train(model)
    assert not after.replayed
    model = network()
    train(model)  # replayed
    assert train(model).history["loss"][-1] < train(network()).history["loss"][0]


def test_weights_set_by_hand_are_noticed():
    def by_hand(seed):
        model = network(seed=seed)
        model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
        return train(model)

    train()
    assert not by_hand(seed=1).replayed
    assert by_hand(seed=1).replayed
    assert not by_hand(seed=2).replayed  # another order of the images


def test_what_cannot_be_described_is_always_trained(capsys):
    class Halved(layers.Layer):
        def call(self, x):
            return x / 2

    def other_layer():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6, 6, 1)), Halved(), layers.Flatten(), layers.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        return train(model)

    def nested_schedule():
        schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: (lambda: rate / 2)())
        return train(callbacks=[schedule])

    for run in (other_layer, nested_schedule):
        run()
        assert not run().replayed
    said = capsys.readouterr().out
    assert "Halved is not a part of Keras" in said
    assert "holds another one" in said


def test_a_default_of_a_function_counts():
    def run(factor):
        def schedule(epoch, rate, factor=factor):
            return rate * factor

        return train(callbacks=[keras.callbacks.LearningRateScheduler(schedule)])

    run(0.5)
    assert run(0.5).replayed
    assert not run(0.9).replayed


def test_a_callback_may_be_used_twice():
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=0.01)
    train(callbacks=[stop])
    assert train(callbacks=[stop]).replayed


def test_a_graph_of_layers_is_told_from_another():
    def graph(add):
        keras.utils.set_random_seed(1)
        image = keras.Input((6, 6, 1))
        one = layers.Conv2D(2, 3)(image)
        two = layers.Conv2D(2, 3)(one if not add else image)
        joined = layers.Add()([one, two]) if add else two
        model = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(joined)))
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
        return model

    assert not train(graph(True)).replayed
    assert train(graph(True)).replayed
    assert not train(graph(False)).replayed


def test_a_search_may_draw_between_two_runs():
    for replayed in (False, True):
        model = network()
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002 (the old interface, which others may use)
        assert train(model).replayed == replayed
        assert random.random() == random.Random(5).random()
        assert np.random.random() == np.random.RandomState(5).random()  # noqa: NPY002


# --- other versions, other data -----------------------------------------------------------------------------


def test_the_recipe_names_what_is_set_and_nothing_else():
    model = network(optimizer=keras.optimizers.Adam(0.005), kernel_regularizer=keras.regularizers.L2(0.02))
    assert recipe.recipe(model, 1, {"epochs": 2}, [keras.callbacks.EarlyStopping(patience=3)]) == {
        "keras": "3",
        "network": [
            [None, 6, 6, 1],
            ["Conv2D", {"filters": 2, "kernel_size": [3, 3], "kernel_regularizer": ["L2", {"l2": 0.02}]}],
            ["Flatten", {}],
            ["Dropout", {"rate": 0.1}],
            ["Dense", {"units": 3, "activation": "softmax"}],
        ],
        "start": ["drawn with seed", 1],
        "optimizer": ["Adam", {"learning_rate": 0.005}],
        "steps so far": 0,
        "loss": "sparse_categorical_crossentropy",
        "loss weights": None,
        "metrics": ["accuracy"],
        "callbacks": [["EarlyStopping", {"patience": 3}]],
        "epochs": 2,
    }


def test_a_later_keras_3_replays_and_keras_4_does_not(monkeypatch):
    train()

    class LaterConv2D(layers.Conv2D):
        """Conv2D with a setting more, as a later version may have it."""

        __module__ = layers.Conv2D.__module__

        def __init__(self, filters, kernel_size, added_later=None, **settings):
            super().__init__(filters, kernel_size, **settings)
            self.added_later = added_later

        def get_config(self):
            return {**super().get_config(), "added_later": self.added_later}

    LaterConv2D.__name__ = "Conv2D"
    monkeypatch.setattr(layers, "Conv2D", LaterConv2D)
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    assert train().replayed
    monkeypatch.setattr(keras, "__version__", "4.0.0")
    assert not train().replayed


def test_a_run_on_other_data_is_mentioned_and_replayed_on_demand(monkeypatch, capsys):
    expected = train(note="the first images")
    monkeypatch.setenv("COURSE_REPLAY", "other-data")
    run = train(x=x * 0.5)
    assert (run.replayed, run.history, run.note) == (True, expected.history, "the first images")
    monkeypatch.delenv("COURSE_REPLAY")
    assert not train(x=x * 0.5).replayed
    said = capsys.readouterr().out
    assert "These are not the data of the recorded run" in said
    assert "recorded on other data (the first images), so it is not replayed" in said


# --- damage -------------------------------------------------------------------------------------------------


def only_run(runs):
    (path,) = runs.iterdir()
    return path


def test_a_flipped_bit_is_noticed_or_harmless(runs, capsys):
    expected = train()
    path = only_run(runs)
    good = path.read_bytes()
    wanted, weights, noticed = known(path, good), network().get_weights(), 0
    for position in range(0, len(good), max(1, len(good) // 60)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
        run = training._recorded_run(path.name, *wanted, weights)
        noticed += run is None
        assert run is None or run["history"] == expected.history
    assert noticed > 30
    assert "is damaged" in capsys.readouterr().out


def test_a_run_without_weights_has_its_history_and_leaves_the_network_as_it_was(runs, capsys):
    first, second = network(), network()
    begun = first.get_weights()
    trained = train(first, epochs=2, keep_weights=False)
    replayed = train(second, epochs=2, keep_weights=False)
    assert (trained.replayed, replayed.replayed) == (False, True)
    assert trained.history == replayed.history
    for model in (first, second):
        for weight, was in zip(model.get_weights(), begun, strict=True):
            np.testing.assert_array_equal(weight, was)
    small = only_run(runs).stat().st_size
    assert not train(epochs=2).replayed  # whoever wants the weights trains, and keeps them
    assert only_run(runs).stat().st_size > small
    assert train(epochs=2, keep_weights=False).replayed
    assert train(epochs=2).replayed


def known(path, good):
    """Return the recipe and the data of an undamaged run."""
    beside = path.with_name("good.npz")
    beside.write_bytes(good)
    run = record.load(beside, network().get_weights())
    return run["recipe"], run["data"]


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_run_is_reported_and_trained_again(runs, capsys, keep):
    train()
    path = only_run(runs)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    assert not train().replayed
    assert "is damaged" in capsys.readouterr().out
    assert train().replayed  # the damaged one was replaced


def test_a_pickle_in_a_run_is_not_opened(runs, tmp_path, capsys):
    train()
    path = only_run(runs)
    with np.load(path) as archive:
        arrays = dict(archive)

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    arrays["weight_0"] = np.array([Trap()], dtype=object)
    np.savez(path, **arrays)
    assert not train().replayed
    assert not (tmp_path / "sprung").exists()
    assert "is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"weight_0": np.zeros((2, 2))},
        {"weight_0": np.zeros(10_000_000, np.uint8)},
        {"record": np.frombuffer(b"{}", np.uint8)},
        {"record": np.frombuffer(b"[1", np.uint8)},
        {"record": np.frombuffer(b"[1]", np.uint8)},
        {"record": np.frombuffer(b"[" * 200_000, np.uint8)},
        {"weight_0": np.full((3, 3, 1, 2), np.nan, np.float16)},
    ],
    ids=["shape", "size", "empty", "not JSON", "not a record", "too deep", "not finite"],
)
def test_a_run_that_does_not_fit_is_reported_and_trained_again(runs, capsys, change):
    train()
    path = only_run(runs)
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez_compressed(path, **{**arrays, **change})
    assert not train().replayed
    assert "is damaged" in capsys.readouterr().out


def test_a_run_under_another_name_is_not_believed(runs, capsys):
    train()
    path = only_run(runs)
    written = training._recorded_run(path.name, *known(path, path.read_bytes()), network().get_weights())
    assert written is not None
    assert training._recorded_run(path.name, {}, written["data"], network().get_weights()) is None
    assert "it holds the run of another recipe" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_costs_the_record_not_the_training(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COURSE_RUNS_DIR", str(tmp_path / "file" / "runs"))
    assert train().epochs == 1
    assert "not recorded: " in capsys.readouterr().out


# --- kills and company -------------------------------------------------------------------------------------

SAVE_FOREVER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    from course_lib import record
    weights = [np.random.default_rng(0).random((300, 300)).astype(np.float16)]
    run = {"recipe": {}, "data": "", "history": {"loss": [1.0]}, "seconds": [1.0]}
    run |= {"note": "", "date": "", "machine": "", "examples": 1}
    print("ready", flush=True)
    while True:
        record.save(Path(sys.argv[1]) / "run.npz", run, weights)
    """
)


def test_killed_while_recording_and_shared_by_two(tmp_path):
    """Two processes write the same run again and again and are killed: what is there is whole."""
    here = [np.zeros((300, 300), np.float32)]
    for pause in (0.0, 0.013, 0.029, 0.05):
        writers = [
            subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, str(tmp_path)], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        while not (tmp_path / "run.npz").exists():
            time.sleep(0.001)
        time.sleep(pause)
        assert record.load(tmp_path / "run.npz", here)["history"] == {"loss": [1.0]}
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()
        assert record.load(tmp_path / "run.npz", here)["history"] == {"loss": [1.0]}


def test_leftovers_of_killed_processes_are_deleted(runs):
    runs.mkdir()
    for name, age in {"old.part": 7200, "new.part": 0}.items():
        (runs / name).touch()
        os.utime(runs / name, (time.time() - age,) * 2)
    train()
    assert [path.name for path in runs.glob("*.part")] == ["new.part"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupted_training_leaves_nothing_behind(runs, monkeypatch):
    class Interrupted(training._Progress):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # in the background, a shell has it ignored
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training, "_Progress", Interrupted)
            train()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not runs.exists()
    assert not train().replayed


# --- smoke, and mistakes ------------------------------------------------------------------------------------


def test_smoke_trains_a_little_and_remembers_nothing(runs, monkeypatch, capsys):
    train()
    monkeypatch.setenv("COURSE_SMOKE", "1")
    many = np.concatenate([x] * 10)
    history = train(x=many, y=np.concatenate([y] * 10), epochs=50)
    assert (history.epochs, history.replayed, len(list(runs.iterdir()))) == (1, False, 1)
    assert "256 images" in capsys.readouterr().out


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"not compiled: call model\.compile"):
        train(keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"no weights yet: begin it with keras\.Input"):
        train(keras.Sequential([layers.Flatten(), layers.Dense(3)]))
    with pytest.raises(ValueError, match="64 inputs, but 63 targets"):
        train(y=y[:-1])
    for ask in (History.best_epoch, History.best):
        with pytest.raises(ValueError, match="'val_f1' was not recorded; recorded were accuracy, loss"):
            ask(train(), "val_f1")


def test_what_is_no_number_is_never_best():
    history = History(
        {"loss": [float("nan"), 0.3, 0.2], "accuracy": [float("nan"), 0.8, 0.7]}, [1.0] * 3, "", False
    )
    assert history.best_epoch("loss") == 3
    assert history.best_epoch("accuracy") == 2


def test_the_published_runs_are_whole():
    """Each recorded run in the package can be read, and says on which data it was trained."""
    published = sorted((training.Path(training.__file__).parent / "recorded").glob("*.npz"))
    assert published
    for path in published:
        with np.load(path, allow_pickle=False) as archive:
            run = json.loads(archive["record"].tobytes())
            assert path.name.startswith(recipe.digest(json.dumps(run["recipe"], sort_keys=True)))
            assert run["note"] and run["seconds"]
            assert all(np.isfinite(archive[name]).all() for name in archive.files)
