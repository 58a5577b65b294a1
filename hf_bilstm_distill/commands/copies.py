"""The copies that commands make of texts."""

from datasets import Dataset, concatenate_datasets

from hf_bilstm_distill.augmentation import HeuristicAugmenter, augment
from hf_bilstm_distill.nlpaug_augmenters import NlpaugTransform
from hf_bilstm_distill.phrase_exchange import PhraseAug
from hf_bilstm_distill.transfer_set import AUGMENTED


def add_copies(texts: Dataset, augmenter: HeuristicAugmenter, n_recombined: int, num_proc: int | None) -> Dataset:
    """Add copies by the paper's rules, and after them others, whose phrases come from other texts."""
    rows = augment(texts, augmenter, num_proc=num_proc)
    if n_recombined == 0:
        return rows
    mask_token, seed = augmenter.mask_token, augmenter.seed
    phrases = PhraseAug(texts, tagger=augmenter.tagger, mask_token=mask_token, seed=seed)
    transform = NlpaugTransform(phrases, n_iter=n_recombined, mask_token=mask_token, seed=seed)
    recombined = augment(texts, transform, num_proc=num_proc)
    return concatenate_datasets([rows, recombined.filter(lambda is_copy: is_copy, input_columns=AUGMENTED)])
