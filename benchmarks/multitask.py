"""Compare the size and the speed of multi-task students with those of a BiLSTM for one task and of the teacher.

python benchmarks/multitask.py --texts validation.jsonl --columns text_a text_b --teacher TEACHER
python benchmarks/multitask.py --texts validation.jsonl --teacher TEACHER --students out/mkd --task sst2

All classify the same texts in this process. The students have random weights, on which neither depends: the two of Liu
et al. 2019, a bi-attentive LSTM with embeddings of 300 and three layers of the teacher, and the BiLSTM of Tang et al.
2019. `--students` adds trained ones.
"""

import argparse
import json
from typing import Any

import torch
from datasets import Dataset

from hf_bilstm_distill import (
    BiAttentiveConfig,
    BiLSTMConfig,
    BiLSTMForSequenceClassification,
    MultiTaskConfig,
    MultiTaskForSequenceClassification,
    TextClassifier,
    distillation_report,
    load_file,
    select_columns,
    trim_tokenizer,
)


def main() -> None:
    """Measure all, and print a table as Markdown and its values as a line of JSON."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    columns = dict(zip(("text", "text_pair"), options.columns, strict=False))
    rows = select_columns(load_file(options.texts), columns, options.texts)
    rows = rows.select(range(min(options.rows, len(rows))))
    teacher = TextClassifier.from_pretrained(options.teacher, device="cpu")
    models = {"teacher": teacher, **new_students(teacher, rows)}
    for folder in options.students:
        student: Any = TextClassifier.from_pretrained(folder, device="cpu")
        models[folder] = TextClassifier(student.model.single_task(options.task), student.tokenizer)
    report = distillation_report(models, rows, "accuracy", task="speed", num_examples=0)

    print("| | parameters | without embeddings | MB | texts/s | ms a text |")
    print("|---|---:|---:|---:|---:|---:|")
    for model in report.models:
        sizes = f"{model.parameters:,} | {model.parameters_without_embeddings:,} | {model.size_mb:.1f}"
        print(f"| {model.name} | {sizes} | {model.throughput_per_s:,.0f} | {model.latency_ms_p50:.2f} |")
    values = {
        model.name: {"texts_per_s": model.throughput_per_s, "ms": model.latency_ms_p50} for model in report.models
    }
    print(json.dumps({"benchmark": "multitask", "rows": len(rows), "threads": options.threads, "values": values}))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="a file of sentences")
    parser.add_argument("--columns", nargs="+", default=["text"], help="where they stand: one, or two of pairs")
    parser.add_argument("--teacher", required=True, help="a BERT-like teacher: a folder, or an id on the Hub")
    parser.add_argument("--students", nargs="*", default=[], help="folders of trained multi-task students")
    parser.add_argument("--task", help="their task. Left out: the one that is set")
    parser.add_argument("--rows", type=int, default=1000, help="how many rows to read")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    return parser.parse_args()


def new_students(teacher: TextClassifier, rows: Dataset) -> dict[str, Any]:
    """Make the students of both papers, with the pieces of the teacher's vocabulary that occur."""
    torch.manual_seed(0)
    tokenizer = trim_tokenizer(teacher.tokenizer, [text for column in rows.column_names for text in rows[column][:]])
    words: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    is_pair = "text_pair" in rows.column_names
    tasks = {"task": {"num_labels": teacher.num_labels, "is_pair": is_pair}}
    encoder = BiAttentiveConfig(**words, embedding_dim=300)
    lstm = MultiTaskForSequenceClassification(MultiTaskConfig(encoder=encoder, tasks=tasks))
    layers = MultiTaskForSequenceClassification.from_teacher(teacher.model.config.name_or_path, tasks)
    bilstm = BiLSTMForSequenceClassification(BiLSTMConfig(**words, is_pair=is_pair, num_labels=teacher.num_labels))
    return {
        "bi-attentive LSTM": TextClassifier(lstm, tokenizer),
        "3 layers of the teacher": TextClassifier(layers, teacher.tokenizer),
        "BiLSTM": TextClassifier(bilstm, tokenizer),
    }


if __name__ == "__main__":
    main()
