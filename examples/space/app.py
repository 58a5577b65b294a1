"""Try a student beside its teacher: type a text, see both answers with scores, time taken and size.

python examples/space/app.py --student out/sst2 --teacher MODEL
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_RUN_HISTORY="False", HF_HUB_DISABLE_TELEMETRY="1")

import gradio as gr
from huggingface_hub import hf_hub_download

from hf_bilstm_distill import OnnxTextClassifier, TextClassifier, one_line_errors

# Put texts of your student's task here.
EXAMPLES = ["A moving and often funny film.", "The plot is thin, and nobody seems to care.", "Not bad at all!"]
PAIR_EXAMPLES = [
    ["How do I learn to swim?", "What is the best way to learn swimming?"],
    ["How do I learn to swim?", "How do I learn to cook?"],
]
LABELS_SHOWN = 5
TIMED_CALLS = 5
REGRESSION, MULTI_LABEL = "regression", "multi_label_classification"


@dataclass(frozen=True)
class Model:
    """A classifier that can be asked for the scores of one text, or of one pair.

    Attributes:
        role: `Student` or `Teacher`.
        name: Its id on the Hub, or the name of its folder.
        runtime: What runs it.
        size_bytes: Bytes of its weights.
        problem_type: What a label is, in the words of transformers.
        is_pair: Whether it reads pairs of texts.
        scores: Gives the score of each label, the largest first.
    """

    role: str
    name: str
    runtime: str
    size_bytes: int
    problem_type: str | None
    is_pair: bool
    scores: Callable[[list[str]], dict[str, float]]

    def answer(self, scores: dict[str, float]) -> str:
        """Say in a word what the scores mean."""
        best, score = next(iter(scores.items()))
        if self.problem_type == REGRESSION:
            return f"{score:.3f}"
        if self.problem_type == MULTI_LABEL or len(scores) == 1:
            return ", ".join(label for label, score in scores.items() if score > 0.5) or "none"
        return best


def load_model(role: str, name: str) -> Model:
    """Load any classifier from a folder or from the Hub: a student, an exported one, or a model of transformers."""
    try:
        model = from_onnx(role, name)
    except (FileNotFoundError, ValueError):  # it was not exported by this package
        model = from_torch(role, name)
    model.scores(["warm", "up"][: 1 + model.is_pair])
    return model


def from_onnx(role: str, name: str) -> Model:
    """Load an exported student."""
    classifier = OnnxTextClassifier.from_pretrained(name, num_threads=1)
    graph = Path(name) / "model.onnx" if Path(name).is_dir() else Path(hf_hub_download(name, "model.onnx"))

    def scores(texts: list[str]) -> dict[str, float]:
        results = classifier.predict([tuple(texts) if classifier.is_pair else texts[0]], top_k=None)[0]
        return {result["label"]: result["score"] for result in results}

    size, kind = graph.stat().st_size, classifier.problem_type
    return Model(role, shown_name(name), "ONNX Runtime", size, kind, classifier.is_pair, scores)


def from_torch(role: str, name: str) -> Model:
    """Load a model that runs in PyTorch."""
    classifier = TextClassifier.from_pretrained(name)

    def scores(texts: list[str]) -> dict[str, float]:
        found = classifier.predict(*[[text] for text in texts])[1].reshape(-1).tolist()
        ranked = sorted(zip(classifier.id2label.values(), found, strict=True), key=lambda each: -each[1])
        return dict(ranked)

    is_pair = bool(getattr(classifier.model.config, "is_pair", False))
    size, kind = classifier.size_bytes, classifier.problem_type
    return Model(
        role, shown_name(name), f"PyTorch on {classifier.model.device.type.upper()}", size, kind, is_pair, scores
    )


def shown_name(name: str) -> str:
    """Return an id as it is, and of a folder its name alone."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def time_call(model: Model, texts: list[str]) -> tuple[dict[str, float], float]:
    """Return the scores of a text, and the seconds that a call takes once it is warm."""
    scores = model.scores(texts)
    seconds = []
    for _ in range(TIMED_CALLS):
        start = perf_counter()
        model.scores(texts)
        seconds.append(perf_counter() - start)
    return scores, median(seconds)


def compare(models: list[Model], texts: list[str]) -> str:
    """Ask all models, and lay out what they say side by side."""
    if not all(text.strip() for text in texts):
        return '<p class="verdict">Type a text first.</p>' if len(texts) == 1 else '<p class="verdict">Type both.</p>'
    asked = [(model, *time_call(model, texts)) for model in models]
    cards = "".join(card(*each) for each in asked)
    return f'{verdict(*asked) if len(asked) == 2 else ""}<div class="cards">{cards}</div>'


def card(model: Model, scores: dict[str, float], seconds: float) -> str:
    """Lay out what one model says."""
    bars = "".join(bar(label, score) for label, score in list(scores.items())[:LABELS_SHOWN])
    left_out = len(scores) - LABELS_SHOWN
    return f"""
<section class="card {model.role.lower()}" aria-label="{model.role}">
  <h2>{model.role} <small>{escape(model.name)}</small></h2>
  <p class="answer">{escape(model.answer(scores))}</p>
  {"" if model.problem_type == REGRESSION else f'<ul class="bars">{bars}</ul>'}
  {f"<p class='more'>and {left_out} more labels</p>" if left_out > 0 else ""}
  <dl>
    <div><dt>time</dt><dd class="time">{shown_time(seconds)}</dd></div>
    <div><dt>size</dt><dd class="size">{model.size_bytes / 1e6:.3g} MB</dd></div>
    <div><dt>runs in</dt><dd>{escape(model.runtime)}</dd></div>
  </dl>
</section>"""


def bar(label: str, score: float) -> str:
    """Lay out one label with its score."""
    return (
        f'<li><span class="label">{escape(label)}</span><span class="score">{score:.1%}</span>'
        f'<span class="track"><span style="width: {score:.1%}"></span></span></li>'
    )


def shown_time(seconds: float) -> str:
    """Write a time in milliseconds with three digits that count."""
    return f"{seconds * 1000:.3g} ms"


def verdict(student: tuple[Model, dict, float], teacher: tuple[Model, dict, float]) -> str:
    """Say in a line whether the student says the same as the teacher, and what it saves."""
    (small, scores, seconds), (large, teacher_scores, teacher_seconds) = student, teacher
    likeness = "They agree." if small.answer(scores) == large.answer(teacher_scores) else "They disagree."
    if set(scores) != set(teacher_scores):
        likeness = "Their labels have different names."
    elif small.problem_type == REGRESSION:
        likeness = f"They differ by {abs(max(scores.values()) - max(teacher_scores.values())):.3f}."
    time, size = seconds / teacher_seconds, small.size_bytes / large.size_bytes
    saved = f"The student takes {time:.1%} of the teacher's time, and has {size:.1%} of its size."
    return f'<p class="verdict"><b>{likeness}</b> {saved}</p>'


def build(models: list[Model]) -> gr.Blocks:
    """Build the page."""
    student = models[0]
    examples = PAIR_EXAMPLES if student.is_pair else [[text] for text in EXAMPLES]
    with gr.Blocks(title=f"{student.name}: try it", analytics_enabled=False) as page:
        gr.Markdown(
            f"# {escape(student.name)}\n\nA small BiLSTM, distilled from a fine-tuned Transformer. Type "
            f"{'two texts' if student.is_pair else 'a text'} and see what it says, and how long it takes."
        )
        labels = ["First text", "Second text"] if student.is_pair else ["Text"]
        with gr.Row():
            boxes = [gr.Textbox(label=label, lines=1, max_lines=8, max_length=5000) for label in labels]
        button = gr.Button("Classify", variant="primary")
        result = gr.HTML(elem_id="result")

        def classify(*texts: str) -> str:
            return compare(models, list(texts))

        gr.on([button.click, *[box.submit for box in boxes]], classify, boxes, result, api_name="classify")
        gr.Examples(examples, boxes, result, classify, run_on_click=True, cache_examples=False)
        gr.Markdown(f"Time: of one call with this text alone, the median of {TIMED_CALLS}, warm. Size: of the weights.")
    return page


FONT = ["ui-sans-serif", "system-ui", "sans-serif"]
MONO = ["ui-monospace", "monospace"]
STYLE = """
#result .html-container { padding: 0; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
.card { background: var(--block-background-fill); border: 1px solid var(--border-color-primary);
  border-radius: var(--block-radius); padding: 1rem 1.25rem; min-width: 0; overflow-wrap: anywhere; }
.card h2 { font-size: 1rem; margin: 0; }
.card { --quiet: color-mix(in srgb, var(--body-text-color) 70%, var(--block-background-fill)); }
.card small, .card dt, .card .more { color: var(--quiet); font-weight: normal; }
.card .answer { font-size: 1.75rem; font-weight: 600; line-height: 1.2; margin: .5rem 0 .75rem; }
.card .bars { list-style: none; margin: 0; padding: 0; }
.card li { display: grid; grid-template-columns: 1fr auto; gap: .1rem .75rem; margin: 0 0 .5rem; }
.card .score, .card dd { font-variant-numeric: tabular-nums; }
.card .track { grid-column: 1 / -1; height: .5rem; border-radius: .25rem; background: var(--border-color-primary); }
.card .track span { display: block; height: 100%; border-radius: .25rem; background: var(--color-accent); }
.card.teacher .track span { background: var(--quiet); }
.card dl { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: 1rem 0 0; }
.card dd { margin: 0; font-weight: 600; }
.verdict { margin: 0 0 .75rem; }
"""


def main() -> None:
    """Read the command line, load the models, open the page."""
    parser = argparse.ArgumentParser(description="A page on which to try a student beside its teacher.")
    parser.add_argument("--student", default=os.environ.get("STUDENT"), help="a folder or an id; else $STUDENT")
    parser.add_argument("--teacher", default=os.environ.get("TEACHER"), help="the same; else $TEACHER, else none")
    parser.add_argument("--port", type=int, help="left out: $GRADIO_SERVER_PORT, or the first free one from 7860")
    given = parser.parse_args()
    if not given.student:
        parser.error("name a student: --student FOLDER_OR_ID, or STUDENT in the environment.")
    wanted = {"Student": given.student, "Teacher": given.teacher}
    with one_line_errors():
        models = [load_model(role, name) for role, name in wanted.items() if name]
    theme = gr.themes.Default(font=FONT, font_mono=MONO)
    build(models).launch(server_port=given.port, theme=theme, css=STYLE, footer_links=[], share=False, ssr_mode=False)


if __name__ == "__main__":
    main()
