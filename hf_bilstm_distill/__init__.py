"""Distil a fine-tuned Hugging Face text classifier into a small, fast BiLSTM."""

__version__ = "0.1.0"
