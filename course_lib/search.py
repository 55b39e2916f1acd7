"""Random search in the large: what the hand-written loop of 1.5 grows into.

A search lives in a folder. In it, Optuna keeps a journal of all trials, and each trial in training has a
checkpoint that is renewed after every epoch. So a search can be stopped at any moment and gone on with later,
several processes can work on it at once, and of a process that is killed only the epoch in hand is lost.

Every random number depends on the seed, the number of the trial and the epoch alone. So a trial comes out the
same whether or not it was interrupted, and whichever process trained it.
"""

import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from course_lib.backend import keras
from course_lib.cache import cache_folder
from course_lib.training import SMOKE_IMAGES, best_index, duration, smoke

__all__ = ["search"]

Array = npt.NDArray[Any]
Histories = dict[str, list[float]]  # metric → its value after each epoch


def search(
    build: Callable[..., keras.Model],
    space: Mapping[str, BaseDistribution],
    x: Array,
    y: Array,
    *,
    trials: int,
    epochs: int,
    batch_size: int,
    validation_split: float,
    folder: str | Path,
    monitor: str = "val_loss",
    patience: int | None = None,
    seed: int = 0,
    pruner: optuna.pruners.BasePruner | None = None,
    client: Any = None,
) -> optuna.Study:
    """Train networks with hyperparameters drawn at random until the search in `folder` has `trials` trials.

    Call it again to go on after an interruption, or at the same time in another process to share the work.
    With `COURSE_SMOKE=1` in the environment it makes two trials of one epoch on 256 images, in a new folder.

    Used in 1.5. Source: Bergstra and Bengio, Random search for hyper-parameter optimization, Journal of
    Machine Learning Research 13 (2012).

    Parameters
    ----------
    build : function
        Takes the hyperparameters as keyword arguments and returns a built, compiled network.
    space : dict
        Hyperparameter → where it is drawn from: an `IntDistribution`, a `FloatDistribution` or a
        `CategoricalDistribution` of `optuna.distributions`.
    x, y : array
        Training inputs and targets; the first axis counts the examples.
    trials : int
        Number of networks, those of earlier calls and of other processes included.
    epochs, batch_size : int
        Passes over the data, examples per step.
    validation_split : float
        The last part of `x` and `y`, on which each network is judged and never trained; between 0 and 1.
    folder : str or Path
        Where the search lives. A relative path lies below `searches` in the user's cache.
    monitor : str
        What a trial is judged by: the lowest value of a loss, the highest of any other metric, at any epoch.
    patience : int, optional
        Stop a trial when `monitor` has not improved for so many epochs.
    seed : int
        Another seed draws other hyperparameters and other first weights.
    pruner : optuna.pruners.BasePruner, optional
        Ends a trial that does badly in comparison with the others at the same epoch.
    client : dask.distributed.Client, optional
        Share the work among the workers of a Dask cluster. They need `folder` on a common file system.

    Returns
    -------
    optuna.Study
        All trials. The user attributes of each are `history` (metric → value after each epoch) and `seconds`
        (the duration of each epoch).

    Raises
    ------
    ValueError
        If an argument is out of its range, if `folder` holds a search with other settings, or if `build`
        returns a network that is not compiled.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> from optuna.distributions import FloatDistribution
    >>> space = {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}
    >>> def build(learning_rate):
    ...     network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    ...     network.compile(keras.optimizers.SGD(learning_rate), loss="mse")
    ...     return network
    >>> x = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> settings = {"epochs": 1, "batch_size": 10, "validation_split": 0.2, "folder": tempfile.mkdtemp()}
    >>> with patch.dict(os.environ, COURSE_SMOKE="0"):  # doctest: +ELLIPSIS
    ...     study = search(build, space, x, 3 * x, trials=2, **settings)
    Trial 0: ...
    Trial 1: ...
    >>> 1e-4 <= study.best_params["learning_rate"] <= 1e-2
    True
    """
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} inputs, but {len(y)} targets: there must be one target for each input")
    if not 0 < validation_split < 1:
        raise ValueError(f"validation_split is {validation_split}; it must lie between 0 and 1")
    if min(trials, epochs, batch_size) < 1:
        raise ValueError("trials, epochs and batch_size must be 1 or more")
    if smoke():
        x, y, trials, epochs = x[:SMOKE_IMAGES], y[:SMOKE_IMAGES], min(trials, 2), 1
        folder = tempfile.mkdtemp(prefix="search-")
        print(f"Smoke test: {trials} trials of one epoch on {len(x)} images, so the numbers mean nothing.")
    plan = _Plan(
        build,
        dict(space),
        x,
        y,
        trials,
        epochs,
        batch_size,
        validation_split,
        cache_folder("searches") / folder,
        monitor,
        patience,
        seed,
        pruner,
    )
    study = plan.study()
    with _Progress(plan, study) as progress:
        if client is None:
            _work(plan, study, progress)
        elif plan.something_left(study):
            _work_with_dask(plan, progress, client)
    return study


@dataclass(frozen=True)
class _Plan:
    """The arguments of `search`, as all processes share them."""

    build: Callable[..., keras.Model]
    space: dict[str, BaseDistribution]
    x: Array
    y: Array
    trials: int
    epochs: int
    batch_size: int
    validation_split: float
    folder: Path
    monitor: str
    patience: int | None
    seed: int
    pruner: optuna.pruners.BasePruner | None

    def storage(self) -> JournalStorage:
        """Open the journal in the folder, in which Optuna notes all that happens to the trials."""
        journal = self.folder / "journal.log"
        with _locked(Path(f"{journal}.lock")):
            _cut_off_unfinished_line(journal)
        return JournalStorage(JournalFileBackend(str(journal), _JournalLock(str(journal))))

    def study(self) -> optuna.Study:
        """Open the search in the folder, or begin one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with _locked(self.folder / "search.lock"):
            study = optuna.create_study(
                study_name="search",
                storage=self.storage(),
                direction="minimize" if "loss" in self.monitor else "maximize",
                pruner=self.pruner or optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            settings = self.settings()
            earlier = study.user_attrs.get("settings")
            if earlier is None:
                study.set_user_attr("settings", settings)
            elif earlier != settings:
                names = [name for name in settings if earlier.get(name) != settings[name]]
                raise ValueError(
                    f"the folder {self.folder} holds a search with other settings "
                    f"({', '.join(names)} changed). Name another folder, or delete this one to begin again."
                )
        return study

    def settings(self) -> dict[str, Any]:
        """Describe what must not change when a search goes on."""
        data = hashlib.sha256()
        for array in (self.x, self.y):
            data.update(f"{array.shape} {array.dtype}".encode())
            data.update(np.ascontiguousarray(array).data)
        return {
            "data": data.hexdigest(),
            "space": {name: distribution_to_json(values) for name, values in self.space.items()},
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "validation_split": self.validation_split,
            "monitor": self.monitor,
            "patience": self.patience,
            "seed": self.seed,
        }

    def begun(self, study: optuna.Study) -> int:
        """Count the trials that have their hyperparameters."""
        return sum(trial.params.keys() == self.space.keys() for trial in study.get_trials(deepcopy=False))

    def something_left(self, study: optuna.Study) -> bool:
        """Tell whether a trial is still to be begun or to be ended."""
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return bool(running) or self.begun(study) < self.trials

    def random_seed(self, *place: int) -> int:
        """Return the seed for a trial, or for an epoch of a trial."""
        return int(np.random.SeedSequence([self.seed, *place]).generate_state(1)[0])

    def best_epoch(self, values: list[float]) -> int:
        """Return the index of the best value."""
        return best_index(self.monitor, values)

    def ends(self, values: list[float]) -> bool:
        """Tell whether a trial with these values of `monitor` has had all its epochs, or stops early."""
        if not values:
            return False
        waited = len(values) - 1 - self.best_epoch(values)
        impatient = self.patience is not None and waited >= self.patience
        return len(values) == self.epochs or impatient or bool(np.isnan(values[-1]))


# --- one process ------------------------------------------------------------------------------------------


def _work(plan: _Plan, study: optuna.Study, progress: "_Progress | None" = None) -> None:
    """Train trials until none is left to begin or to go on with."""
    while (claimed := _claim(plan, study)) is not None:
        trial, lock = claimed
        with lock:
            try:
                _train(plan, study, trial, progress)
            except Exception:
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                raise
            finally:
                if progress:
                    progress.update()


def _claim(plan: _Plan, study: optuna.Study) -> tuple[optuna.Trial, IO[bytes]] | None:
    """Return a trial and the lock that keeps other processes off it; None if there is nothing left to do.

    A trial that is running and not locked was left behind by a process that ended. It is gone on with first.
    """
    with _locked(plan.folder / "search.lock"):
        for number in [running.number for running in study.get_trials(states=(TrialState.RUNNING,))]:
            lock = _try_lock(plan.folder / f"trial-{number}.lock")
            if lock is None:
                continue
            left = study.trials[number]  # read again: it may have ended before the lock was ours
            if left.state == TrialState.RUNNING and left.params.keys() == plan.space.keys():
                storage = plan.storage()
                study_id = storage.get_study_id_from_name(study.study_name)
                trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
                return optuna.Trial(study, trial_id), lock
            if left.state == TrialState.RUNNING:  # its process ended before it had its hyperparameters
                study.tell(number, state=TrialState.FAIL)
            lock.close()
        if plan.begun(study) >= plan.trials:
            return None
        study.sampler = optuna.samplers.RandomSampler(plan.random_seed(len(study.get_trials())))
        trial = study.ask(plan.space)
        lock = _try_lock(plan.folder / f"trial-{trial.number}.lock")
        assert lock is not None  # no other process knows this trial yet
        return trial, lock


def _train(plan: _Plan, study: optuna.Study, trial: optuna.Trial, progress: "_Progress | None") -> None:
    """Train one network from its last finished epoch to its last, and tell Optuna the result."""
    with _undisturbed_random_numbers(plan.random_seed(trial.number)):
        network = plan.build(**trial.params)
    if not (network.built and network.compiled):
        raise ValueError("build must return a network that begins with keras.Input and is compiled")
    network.optimizer.build(network.trainable_variables)

    checkpoint = plan.folder / f"trial-{trial.number}.npz"
    history, seconds = _restore(checkpoint, network, trial.number)
    state = _report(plan, study, trial, history)  # a kill may have come between checkpoint and report
    while not plan.ends(history.get(plan.monitor, [])) and state == TrialState.COMPLETE:
        epoch, start = len(seconds), time.perf_counter()
        keras.utils.set_random_seed(plan.random_seed(trial.number, epoch))
        logs = network.fit(
            plan.x,
            plan.y,
            batch_size=plan.batch_size,
            validation_split=plan.validation_split,
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,
        ).history
        if plan.monitor not in logs:
            raise ValueError(f"monitor is {plan.monitor!r}; the networks report {', '.join(logs)}")
        seconds.append(round(time.perf_counter() - start, 2))
        for name, values in logs.items():
            history.setdefault(name, []).append(float(values[0]))
        _save(checkpoint, network, history, seconds)
        state = _report(plan, study, trial, history)
        if progress:
            progress.update()

    trial.set_user_attr("history", history)
    trial.set_user_attr("seconds", seconds)
    values = history[plan.monitor]
    best = values[plan.best_epoch(values)]
    if np.isnan(best):
        state = TrialState.FAIL
    study.tell(trial.number, best if state == TrialState.COMPLETE else None, state)
    checkpoint.unlink(missing_ok=True)


def _report(plan: _Plan, study: optuna.Study, trial: optuna.Trial, history: Histories) -> TrialState:
    """Tell Optuna of the epochs that it does not know yet; return whether the trial is pruned."""
    reported = study.trials[trial.number].intermediate_values
    for step, value in enumerate(history.get(plan.monitor, []), start=1):
        if step not in reported:
            trial.report(value, step)
    return TrialState.PRUNED if history and trial.should_prune() else TrialState.COMPLETE


@contextmanager
def _undisturbed_random_numbers(seed: int) -> Iterator[None]:
    """Seed everything, and let Keras draw the seeds of the first weights from a generator of its own.

    Otherwise it draws them from Python's generator, from which a thread of Dask draws meanwhile.
    """
    keras.utils.set_random_seed(seed)
    shared, random.randint = random.randint, random.Random(seed).randint
    try:
        yield
    finally:
        random.randint = shared


# --- checkpoints ------------------------------------------------------------------------------------------


def _variables(network: keras.Model) -> list[Any]:
    """Everything that decides how the training goes on: weights, random states, the optimizer's memory."""
    return [*network.variables, *network.optimizer.variables]


def _save(path: Path, network: keras.Model, history: Histories, seconds: list[float]) -> None:
    """Write the checkpoint beside the old one and rename it: at no moment is there none that is whole.

    Keras's own BackupAndRestore writes over its two files in place, where a kill leaves them damaged.
    """
    arrays = {f"variable_{i}": np.asarray(variable) for i, variable in enumerate(_variables(network))}
    record = np.frombuffer(json.dumps({"history": history, "seconds": seconds}).encode(), np.uint8)
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        np.savez(file, allow_pickle=False, record=record, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _restore(path: Path, network: keras.Model, number: int) -> tuple[Histories, list[float]]:
    """Bring the network to the state of the checkpoint; without a whole one, leave it as it is."""
    if not path.exists():
        return {}, []
    variables = _variables(network)
    try:
        with np.load(path, allow_pickle=False) as file:
            record = json.loads(file["record"].tobytes())
            history, seconds = record["history"], record["seconds"]
            arrays = [file[f"variable_{i}"] for i in range(len(file.files) - 1)]
        shapes = [(array.shape, str(array.dtype)) for array in arrays]
        expected = [(tuple(variable.shape), str(variable.dtype)) for variable in variables]
        if shapes != expected:
            raise ValueError("it is not from a network of these layers")
        if any(len(values) != len(seconds) for values in history.values()):
            raise ValueError("its history has gaps")
    except Exception as problem:  # NumPy, zipfile and zlib have a dozen kinds of error for a damaged file
        print(f"The checkpoint of trial {number} can't be used ({problem}); the trial begins again.")
        return {}, []
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    print(f"Trial {number} goes on after epoch {len(seconds)}.")
    return history, seconds


# --- several processes ------------------------------------------------------------------------------------


def _work_with_dask(plan: _Plan, progress: "_Progress", client: Any) -> None:
    """Let every worker of the cluster work on the search, and wait."""
    threads = client.nthreads()  # address of each worker → number of its threads
    if not threads or set(threads.values()) != {1}:
        raise ValueError(
            f"the workers of the cluster have {sorted(threads.values())} threads; each needs exactly one, "
            "since Keras draws its random numbers per process: LocalCluster(threads_per_worker=1)"
        )
    shared = client.scatter(plan, broadcast=True)
    # A task whose worker dies is given to another one, where it goes on with the trial that was left.
    futures = [
        client.submit(_work_as_dask_worker, shared, pure=False, workers=[address], allow_other_workers=True)
        for address in threads
    ]
    try:
        while not all(future.done() for future in futures):
            progress.update()
            time.sleep(0.2)
        progress.update()
        client.gather(futures)  # raises what a worker raised
    finally:
        client.cancel(futures)


def _work_as_dask_worker(plan: _Plan) -> None:
    _work(plan, plan.study())


def _lock(file: IO[bytes], wait: bool) -> bool:
    """Lock a file for this process; tell whether that was possible.

    The operating system releases the lock when the file is closed, also when the process is killed.
    """
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                return True
            except OSError:
                if not wait:
                    return False
                time.sleep(0.01)
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False


def _try_lock(path: Path) -> IO[bytes] | None:
    """Open and lock a file; None if another process has it locked."""
    file = path.open("ab")
    if _lock(file, wait=False):
        return file
    file.close()
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for the lock on a file, and hold it."""
    with path.open("ab") as file:
        _lock(file, wait=True)
        yield


class _JournalLock(JournalFileOpenLock):
    """A lock for Optuna's journal that does not outlive its process, as Optuna's own lock files do."""

    def __init__(self, journal: str) -> None:
        self._path = Path(journal + ".lock")

    def acquire(self) -> bool:
        file = self._path.open("ab")
        _lock(file, wait=True)
        self._file = file
        return True

    def release(self) -> None:
        self._file.close()


def _cut_off_unfinished_line(journal: Path) -> None:
    """Mend a journal after a power cut or on a full disk: Optuna can't read what follows half a line."""
    contents = journal.read_bytes() if journal.exists() else b""
    end = contents.rfind(b"\n") + 1
    if end < len(contents):
        os.truncate(journal, end)


# --- what the reader sees ---------------------------------------------------------------------------------


class _Progress:
    """A line for each trial that has ended, with an estimate of the rest; in a terminal also a bar."""

    def __init__(self, plan: _Plan, study: optuna.Study) -> None:
        self._plan, self._study = plan, study
        self._told = {trial.number for trial in study.trials if trial.state.is_finished()}
        if self._told:
            print(f"Trials trained earlier: {len(self._told)}.")

    def __enter__(self) -> "_Progress":
        self._total = self._plan.trials * self._plan.epochs
        self._before, self._start = self._epochs(), time.perf_counter()
        self._bar = tqdm(total=self._total, initial=self._before, unit="epoch", leave=False, disable=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _epochs(self) -> int:
        """Count the epochs that lie behind; a trial that stopped early has none left."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(self._plan.epochs if t.state.is_finished() else len(t.intermediate_values) for t in trials)

    def update(self) -> None:
        """Tell of the trials that have ended, whichever process trained them."""
        epochs = self._epochs()
        self._bar.update(epochs - self._bar.n)
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished() and trial.number not in self._told:
                self._told.add(trial.number)
                sentence = self._sentence(trial)
                if self._before < epochs < self._total:
                    pace = (time.perf_counter() - self._start) / (epochs - self._before)
                    sentence += f"; about {duration(pace * (self._total - epochs))} to go"
                tqdm.write(sentence)

    def _sentence(self, trial: FrozenTrial) -> str:
        drawn = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in trial.params.items()
        )
        if trial.state == TrialState.FAIL:
            return f"Trial {trial.number}: failed ({drawn})"
        values = trial.user_attrs["history"][self._plan.monitor]
        epoch = self._plan.best_epoch(values)
        ending = ", pruned" if trial.state == TrialState.PRUNED else ""
        return (
            f"Trial {trial.number}: {self._plan.monitor} {values[epoch]:.4f} "
            f"at epoch {epoch + 1} of {len(values)}{ending} ({drawn})"
        )
