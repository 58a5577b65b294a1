"""Say where a student loses what its teacher knows: on which kinds of texts the two differ, and who is right there.

The texts are cut by length, by words of negation and of contrast, and by how often the rarest word of a text stands in
the training texts. Columns are the share of gold labels that each model gets, and the share of texts on which the
student says what the teacher says; `lost` counts texts that the teacher alone gets right, `won` those that the student
alone gets right.

python benchmarks/slices.py --texts validation.jsonl --train_file train.jsonl --teacher TEACHER --students out/student
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hf_bilstm_distill import TextClassifier, load_file
from hf_bilstm_distill.augmentation.words import split_words

NEGATION = {"no", "not", "n't", "never", "nothing", "none", "nobody", "neither", "nor", "without", "hardly", "lacks"}
CONTRAST = {"but", "though", "although", "however", "yet", "despite", "while", "whereas", "instead", "rather", "still"}


def main() -> None:
    """Print the table as Markdown, and its values as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="texts with gold labels, that none of the models was trained on")
    parser.add_argument("--train_file", required=True, help="the training texts, in which words are counted")
    parser.add_argument("--teacher", required=True, help="a folder or an id on the Hub")
    parser.add_argument("--students", required=True, nargs="+", help="students that differ in their seed: the mean")
    parser.add_argument("--text_column", default="text")
    parser.add_argument("--label_column", default="label", help="numbers of the labels, as the models have them")
    options = parser.parse_args()
    rows = load_file(options.texts)
    texts, gold = list(rows[options.text_column]), np.array(rows[options.label_column])
    words = [words_of(text) for text in texts]
    counts = Counter(word for text in load_file(options.train_file)[options.text_column] for word in words_of(text))
    teacher = predictions(options.teacher, texts)
    students = np.stack([predictions(student, texts) for student in options.students])

    slices = {"all": np.ones(len(texts), dtype=bool)} | slices_of(words, counts)
    print("| texts | rows | teacher | student | agreement | lost | won |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    results = {}
    for name, chosen in slices.items():
        right = students[:, chosen] == gold[chosen]
        teacher_right = teacher[chosen] == gold[chosen]
        results[name] = {
            "rows": int(chosen.sum()),
            "teacher": float(teacher_right.mean()),
            "student": float(right.mean()),
            "agreement": float((students[:, chosen] == teacher[chosen]).mean()),
            "lost": float((~right & teacher_right).sum(axis=1).mean()),
            "won": float((right & ~teacher_right).sum(axis=1).mean()),
        }
        of = results[name]
        shares = " | ".join(f"{of[column]:.4f}" for column in ("teacher", "student", "agreement"))
        print(f"| {name} | {of['rows']} | {shares} | {of['lost']:.1f} | {of['won']:.1f} |")
    print(json.dumps({"students": len(students), "slices": results}))


def predictions(model: str, texts: Sequence[str]) -> np.ndarray:
    """Return the number of the label that a model gives each text."""
    return np.asarray(TextClassifier.from_pretrained(model, device="cpu").logits(list(texts))).argmax(axis=1)


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return [word for word in split_words(text.lower())[1::2] if re.search(r"\w", word)]


def slices_of(words: Sequence[Sequence[str]], counts: Counter[str]) -> dict[str, np.ndarray]:
    """Return which texts belong to each slice."""
    lengths = np.array([len(each) for each in words])
    edges = np.quantile(lengths, [0.25, 0.5, 0.75]).astype(int)
    rarest = np.array([min((counts[word] for word in each), default=0) for each in words])
    negated = np.array([bool(NEGATION.intersection(each)) for each in words])
    contrasted = np.array([bool(CONTRAST.intersection(each)) for each in words])
    return {
        f"up to {edges[0]} words": lengths <= edges[0],
        f"{edges[0] + 1} to {edges[1]} words": (lengths > edges[0]) & (lengths <= edges[1]),
        f"{edges[1] + 1} to {edges[2]} words": (lengths > edges[1]) & (lengths <= edges[2]),
        f"over {edges[2]} words": lengths > edges[2],
        "with negation": negated,
        "without negation": ~negated,
        "with contrast": contrasted,
        "without contrast": ~contrasted,
        "with a word not in the training texts": rarest == 0,
        "rarest word 1 to 9 times": (rarest > 0) & (rarest < 10),
        "rarest word 10 times or more": rarest >= 10,
    }


if __name__ == "__main__":
    main()
