"""Rule-based augmentation of a transfer set: masked words, other words of the same part of speech, n-grams."""

from hf_bilstm_distill.augmentation.heuristic_augmenter import HeuristicAugmenter
from hf_bilstm_distill.augmentation.sets import RowAugmenter, augment
from hf_bilstm_distill.augmentation.taggers import load_tagger

__all__ = ["HeuristicAugmenter", "RowAugmenter", "augment", "load_tagger"]
