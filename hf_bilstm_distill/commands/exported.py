"""Tell an exported student from other models. This module needs neither PyTorch nor transformers."""

import json
from pathlib import Path

from huggingface_hub import hf_hub_download


def is_exported(name_or_path: str) -> bool:
    """Tell whether a folder, or a repository on the Hub, holds a student that `export_onnx` wrote."""
    config = Path(name_or_path) / "config.json"
    if not Path(name_or_path).is_dir():
        try:
            config = Path(hf_hub_download(name_or_path, "config.json"))
        except Exception:  # whoever loads the model says what is wrong with its name
            return False
    try:
        return config.is_file() and "export_format" in json.loads(config.read_text(encoding="utf-8"))
    except ValueError:  # a damaged file: whoever loads the model names it
        return config.with_name("model.onnx").is_file()
