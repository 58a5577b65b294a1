"""How the site is built: `make docs`."""

import dataclasses
import re
from typing import Any

from sphinx.application import Sphinx

from hf_bilstm_distill import DistillationTrainingArguments, __version__

project = "hf-bilstm-distill"
release = version = __version__
copyright = "the authors of hf-bilstm-distill, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"  # what stands in single backticks in a docstring
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_sphinx = False

add_module_names = False
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]


def add_argument_help(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Describe the arguments of the trainer where they are described once: by the help of their fields."""
    if not (isinstance(obj, type) and issubclass(obj, DistillationTrainingArguments)):
        return
    for field in dataclasses.fields(obj):
        if field.name in vars(obj)["__annotations__"]:  # the others are those of its base
            lines += [f":param {field.name}: {field.metadata['help']} Default: `{field.default!r}`."]


def prepare(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make of a docstring what napoleon and docutils read as it is meant."""
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"`(?=s\b)", r"`\\ ", line)  # `ClassLabel`s: markup ends before a space only
        if number and lines[number - 1] in ("Returns:", "Yields:"):  # else what stands before a colon would be a type
            lines[number] = f"    : {line.strip()}"


def setup(app: Sphinx) -> None:
    """Connect what Sphinx calls."""
    app.connect("autodoc-process-docstring", prepare, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", add_argument_help, priority=600)  # after napoleon
