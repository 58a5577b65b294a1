"""What a report says of one model: plain values that JSON can hold."""

from dataclasses import dataclass, field
from typing import TypedDict


class Difference(TypedDict):
    """A metric's value less the teacher's on the same texts, with the ends of its interval."""

    value: float
    low: float | None
    high: float | None


class CalibrationBin(TypedDict):
    """The texts whose predicted label has a probability above `low` and up to `high`."""

    low: float
    high: float
    rows: int
    confidence: float | None
    accuracy: float | None


class Calibration(TypedDict):
    """How far a model's probabilities are from how often it is right."""

    expected_calibration_error: float
    bins: list[CalibrationBin]


class ClassScores(TypedDict):
    """One row of the table of classes; None where there is nothing to divide by."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


class Disagreement(TypedDict):
    """A text on which a model and the teacher differ: names of labels, or scores in a regression."""

    row: int
    text: str
    text_pair: str | None
    gold: str | float | list[str] | None
    teacher: str | float | list[str]
    teacher_confidence: float | None
    model: str | float | list[str]
    model_confidence: float | None


class Disagreements(TypedDict):
    """How many texts a model labels otherwise than the teacher, who is right on them, and the clearest of them."""

    rows: int | None
    rows_with_gold: int | None
    teacher_right: int | None
    model_right: int | None
    examples: list[Disagreement]


class LengthBand(TypedDict):
    """The texts of a range of lengths in characters, both ends included."""

    shortest: int
    longest: int
    rows: int
    share_right: float | None
    mean_absolute_error: float | None
    agreement_with_teacher: float | None


class UnknownTokens(TypedDict):
    """How much of the texts a tokenizer has no entry for."""

    share_of_tokens: float
    share_of_texts: float


@dataclass(frozen=True)
class ModelReport:
    """What was measured of one model; None, or nothing, for what is not known.

    Attributes:
        name: `teacher`, `student`, `baseline` or another name of the model.
        metrics: The metric's values by name; empty without gold labels, NaN where a value is not defined.
        agreement_with_teacher: Share of the texts that get the label the teacher gives them; where texts have several
            labels, exactly the same labels.
        parameters: How many parameters it has.
        parameters_without_embeddings: The same without the embedding table.
        size_mb: Size of its weights, in megabytes of 10^6 bytes.
        throughput_per_s: Texts a second, given all texts at once.
        latency_ms_p50: Median time of a call with one text, in milliseconds.
        latency_ms_p95: The time that 95 % of these calls stay below, in milliseconds.
        intervals: Low and high end of the 95 % interval of each metric and of `agreement_with_teacher`.
        differences_to_teacher: Each metric less the teacher's, with a 95 % interval of the paired difference.
        correlation_with_teacher: Pearson correlation of its scores with the teacher's, in a regression.
        calibration: Its expected calibration error, and the bins this was taken over.
        classes: Precision, recall, F1 and support of each class.
        confusion: Texts by gold label (row) and predicted label (column), in the order of `classes`.
        disagreements: Where it differs from the teacher.
        lengths: Short, middle and long texts side by side.
        unknown_tokens: What its tokenizer does not know of the texts.
    """

    name: str
    metrics: dict[str, float | None]
    agreement_with_teacher: float | None
    parameters: int | None
    parameters_without_embeddings: int | None
    size_mb: float | None
    throughput_per_s: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    intervals: dict[str, list[float]] = field(default_factory=dict)
    differences_to_teacher: dict[str, Difference] = field(default_factory=dict)
    correlation_with_teacher: float | None = None
    calibration: Calibration | None = None
    classes: list[ClassScores] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    disagreements: Disagreements | None = None
    lengths: list[LengthBand] = field(default_factory=list)
    unknown_tokens: UnknownTokens | None = None
