"""Arguments that several commands have."""

from dataclasses import dataclass, field, fields
from typing import Literal


@dataclass
class TeacherChoice:
    """Which teacher, and how it computes."""

    teacher: str | None = field(
        default=None, metadata={"help": "The fine-tuned classifier: a folder or an id on the Hub."}
    )
    teacher_dtype: Literal["float32", "bfloat16", "float16", "auto"] = field(
        default="float32",
        metadata={"help": "What the teacher computes in. auto: bfloat16 where the machine has instructions for it."},
    )
    trust_remote_code: bool = field(
        default=False,
        metadata={"help": "Run the Python code in the teacher's folder, with all your rights."},
    )


@dataclass
class ColumnArguments:
    """Where the texts and their labels stand."""

    text_column: str = field(default="text", metadata={"help": "Column with the text, or the first."})
    text_pair_column: str | None = field(
        default=None, metadata={"help": "Column with the second text, if texts come in pairs."}
    )
    label_column: str = field(
        default="label", metadata={"help": "Column with the gold label: a number or a name. It may be missing."}
    )

    @property
    def columns(self) -> dict[str, str | None]:
        """The user's column names by the standard ones."""
        return {"text": self.text_column, "text_pair": self.text_pair_column, "label": self.label_column}


@dataclass
class LabelArguments(ColumnArguments):
    """Where the texts and their labels stand, and what the labels mean."""

    labels: list[str] | None = field(
        default=None, metadata={"help": "Names of the labels 0, 1, ..., where there are numbers only."}
    )
    label_order: list[int] | None = field(
        default=None,
        metadata={"help": "For each label of the data, its position in the teacher's logits. Left out: by name."},
    )
    problem_type: str | None = field(
        default=None,
        metadata={
            "help": "One class a text, several, or a number. Left out: the teacher's.",
            "choices": ["single_label_classification", "multi_label_classification", "regression"],
        },
    )


@dataclass
class AugmentationArguments:
    """How to make copies of texts."""

    n_iter: int = field(default=6, metadata={"help": "Copies by the paper's rules. 0: none."})
    n_recombined: int | None = field(
        default=None, metadata={"help": "Copies with phrases of others. Left out: 2 n_iter."}
    )
    p_neighbor: float = field(default=0.15, metadata={"help": "Probability, in these, of a near word."})
    p_mask: float = field(default=0.1, metadata={"help": "Probability of masking a word."})
    p_pos: float = field(default=0.1, metadata={"help": "Probability of another with its tag."})
    p_ngram: float = field(default=0.25, metadata={"help": "Probability of keeping 1 to 5 words."})
    tagger: str = field(default="lexicon", metadata={"help": "lexicon, textblob, nltk, spacy:MODEL."})

    def num_recombined(self, is_pair: bool) -> int:
        """Return the number of copies with phrases of other texts; of pairs there are none but on demand."""
        if self.n_recombined is None:
            return 0 if is_pair else 2 * self.n_iter
        return self.n_recombined


AUGMENTATION = tuple(each.name for each in fields(AugmentationArguments))
"""What a card tells of the copies."""


@dataclass
class SharingArguments:
    """What others get beside the student."""

    include_code: bool = field(
        default=True, metadata={"help": "Save the student's code beside it, for use with trust_remote_code=True."}
    )
    license: str | None = field(
        default=None, metadata={"help": "The student's license, for its card: apache-2.0, or another id of the Hub's."}
    )
    language: list[str] | None = field(
        default=None, metadata={"help": "Codes of the texts' languages, for the card: en fr."}
    )


@dataclass
class FileArguments:
    """One file of texts."""

    file: str = field(metadata={"help": "Texts: csv, tsv, jsonl or parquet."})


@dataclass
class FilesArguments(FileArguments):
    """A file of texts, and one to write."""

    output_file: str = field(metadata={"help": "What to write, .jsonl or .parquet. It appears when it is whole."})
