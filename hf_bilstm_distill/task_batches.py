"""Batches of several tasks: each step of training is of one task, and the steps of all tasks are mixed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from hf_bilstm_distill.transfer_set import NO_LABEL, TEACHER_LOGITS

TASK = "task"
PROPORTIONAL, TEMPERATURE, ROUND_ROBIN = TASK_SAMPLINGS = ("proportional", "temperature", "round-robin")
_MEGABATCH_STEPS = 50


class TaskRows(TorchDataset[dict[str, Any]]):
    """The rows of several tasks one after the other, each with the name of its task.

    At `~index` stands the row of `index` without gold label and logits: it is read, and teaches nothing.

    Args:
        datasets: The rows of each task, encoded.
    """

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self.datasets = dict(datasets)
        self._tasks = list(datasets)
        self._starts = np.cumsum([0, *(len(dataset) for dataset in datasets.values())])

    @property
    def lengths(self) -> list[np.ndarray]:
        """For each task the length of each row, in tokens."""
        tokens = [dataset.with_format("arrow")["input_ids"][:] for dataset in self.datasets.values()]
        return [pc.list_value_length(column).to_numpy() for column in tokens]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Read rows of one task together: a batch.

        Args:
            indices: Their positions.

        Returns:
            The rows.
        """
        positions = [index if index >= 0 else ~index for index in indices]
        number = int(np.searchsorted(self._starts, positions[0], side="right")) - 1
        task, start = self._tasks[number], int(self._starts[number])
        rows = self.datasets[task].__getitems__([position - start for position in positions])
        return [
            {**(row if index >= 0 else _without_targets(row)), TASK: task}
            for index, row in zip(indices, rows, strict=True)
        ]


class TaskCollator:
    """Make a batch of one task, which has its name.

    Args:
        collator: Makes a batch of rows.
    """

    def __init__(self, collator: Callable[[list[dict[str, Any]]], Mapping[str, Any]]) -> None:
        self.collator = collator

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make a batch.

        Args:
            rows: Rows of `TaskRows`.

        Returns:
            The batch, and its `task`.
        """
        own = [{name: value for name, value in row.items() if name != TASK} for row in rows]
        return {**self.collator(own), TASK: rows[0][TASK]}


@dataclass(frozen=True)
class Spread:
    """How a step is spread over batches.

    Attributes:
        batch_size: Rows of a batch, at most.
        num_accumulated: Batches that a process accumulates in a step.
        num_processes: How many processes there are.
        process_index: Which of them this one is.
    """

    batch_size: int
    num_accumulated: int = 1
    num_processes: int = 1
    process_index: int = 0

    @property
    def rows_per_step(self) -> int:
        """Rows of a step, at most."""
        return self.batch_size * self.num_accumulated * self.num_processes

    def batches(self, rows: np.ndarray) -> list[list[int]]:
        """Return this process's batches of a step: of as many rows each as of the others', or of one less.

        Args:
            rows: The positions of the rows of the step.

        Returns:
            `num_accumulated` batches. Where there are fewer rows than batches, some read a row that teaches nothing.
        """
        parts = np.array_split(rows, self.num_accumulated * self.num_processes)
        return [part.tolist() or [~int(rows[0])] for part in parts[self.process_index :: self.num_processes]]


class TaskBatchSampler(Sampler[list[int]]):
    """Draw batches of which each holds one task, as do all batches of a step: in all processes, and accumulated ones.

    Each task goes through its rows again and again, in another order each time. How many steps of this an epoch has is
    what `steps_of_tasks` says; the next epoch goes on where it ended. All is drawn from the seed and the epoch alone,
    so that a resumed run sees what it would have seen.

    Args:
        lengths: For each task the length of each row, in tokens.
        spread: How a step is spread over batches.
        steps: Steps of each task in an epoch.
        mix: Whether to shuffle the steps of the tasks, or to take the tasks in turn.
        order: How to order the rows of a task: `group_by_length`, `random` or `sequential`.
        seed: The seed of the order.
        epoch: Tells the current epoch.

    Source:
        Liu et al. 2019 (MKD): batches of one task each, shuffled.
    """

    def __init__(
        self,
        lengths: Sequence[np.ndarray],
        spread: Spread,
        steps: Sequence[int],
        *,
        mix: bool,
        order: str,
        seed: int,
        epoch: Callable[[], int],
    ) -> None:
        self._lengths, self._spread, self._steps = lengths, spread, steps
        self._starts = np.cumsum([0, *map(len, lengths)])
        self._mix, self._order, self._seed, self._epoch = mix, order, seed, epoch

    def __len__(self) -> int:
        return sum(self._steps) * self._spread.num_accumulated

    def __iter__(self) -> Iterator[list[int]]:
        """Draw the batches of an epoch.

        Yields:
            Positions of rows in `TaskRows`.
        """
        epoch = self._epoch()
        steps_of = [self._steps_of(task, epoch * count) for task, count in enumerate(self._steps)]
        turns = np.array([(turn, task) for task, count in enumerate(self._steps) for turn in range(count)])
        tasks = turns[np.lexsort(turns.T[::-1]), 1]
        if self._mix:
            tasks = np.random.default_rng([self._seed, epoch]).permutation(tasks)
        for task in tasks:
            yield from self._spread.batches(next(steps_of[task]))

    def _steps_of(self, task: int, start: int) -> Iterator[np.ndarray]:
        """Give the rows of each step of a task, from the step of that number on."""
        size = self._spread.rows_per_step
        num_rows = len(self._lengths[task])
        passed, first = divmod(start, -(-num_rows // size))
        while True:
            rng = np.random.default_rng([self._seed, passed, task])
            rows = self._starts[task] + order_rows(self._lengths[task], size, self._order, rng)
            for step in range(first * size, num_rows, size):
                yield rows[step : step + size]
            passed, first = passed + 1, 0


def steps_of_tasks(
    num_rows: Sequence[int], rows_per_step: int, sampling: str = PROPORTIONAL, temperature: float = 1.0
) -> list[int]:
    """Say how many steps of an epoch each task gets.

    All samplings make about as many steps as `proportional`.

    Args:
        num_rows: Rows of each task.
        rows_per_step: Rows of a step.
        sampling: `proportional` gives each task the steps in which it sees each row once. `temperature` gives it a
            share in proportion to `num_rows ** (1 / temperature)`, `round-robin` the same as all others; both give it
            one step at least.
        temperature: That of `temperature`: 1 is about proportional; the higher, the more equal.

    Returns:
        A number for each task.
    """
    all_rows = [-(-count // rows_per_step) for count in num_rows]
    if sampling == PROPORTIONAL:
        return all_rows
    power = 0.0 if sampling == ROUND_ROBIN else 1 / temperature
    weights = np.array(num_rows, dtype=float) ** power
    shares = sum(all_rows) * weights / weights.sum()
    return [max(1, round(share)) for share in shares.tolist()]


def check_by_task(datasets: Any, name: str) -> None:
    """Stop if sets do not come by task.

    Args:
        datasets: What should be a dict of datasets, or None.
        name: What to call it in the error.

    Raises:
        TypeError: If it is neither.
    """
    if datasets is not None and not (isinstance(datasets, Mapping) and datasets):
        raise TypeError(
            f"{name} must be a dict of one dataset or more by task, got {type(datasets).__name__}. "
            f"Pass {name}={{'sst2': ..., 'mnli': ...}}."
        )


def order_rows(lengths: np.ndarray, rows_per_step: int, order: str, rng: np.random.Generator) -> np.ndarray:
    """Order rows for a pass over them.

    Args:
        lengths: The length of each row.
        rows_per_step: Rows of a step.
        order: `group_by_length` puts rows of similar length together, among those of fifty steps (or of a quarter of
            all, if these are fewer) drawn at random; `random`; `sequential` leaves them as they are.
        rng: What to draw from.

    Returns:
        Positions.
    """
    if order == "sequential":
        return np.arange(len(lengths))
    rows = rng.permutation(len(lengths))
    if order == "random":
        return rows
    size = rows_per_step * max(1, min(_MEGABATCH_STEPS, len(rows) // (4 * rows_per_step)))
    cuts = [*range(0, len(rows), size), len(rows)]
    parts = [rows[start:stop] for start, stop in pairwise(cuts)]
    return np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in parts])


def _without_targets(row: Mapping[str, Any]) -> dict[str, Any]:
    blank = dict(row)
    if "labels" in row:
        blank["labels"] = np.full_like(row["labels"], NO_LABEL)
    if TEACHER_LOGITS in row:
        blank[TEACHER_LOGITS] = None
    return blank
