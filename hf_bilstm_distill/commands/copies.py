"""The copies that commands make of texts."""

from typing import Any

from datasets import Dataset, concatenate_datasets
from nlpaug import Augmenter
from nlpaug.flow import Sequential

from hf_bilstm_distill.augmentation import HeuristicAugmenter, augment
from hf_bilstm_distill.commands.shared_arguments import AugmentationArguments
from hf_bilstm_distill.inference import TextClassifier
from hf_bilstm_distill.neighbor_exchange import NeighborAug, nearest_words
from hf_bilstm_distill.nlpaug_augmenters import NlpaugTransform
from hf_bilstm_distill.phrase_exchange import PhraseAug
from hf_bilstm_distill.transfer_set import AUGMENTED


def mask_token_of(teacher: TextClassifier | None) -> str:
    """Give what stands for a masked word: what the teacher takes for one."""
    token = (teacher.tokenizer.mask_token or teacher.tokenizer.unk_token) if teacher else None
    return token or "[MASK]"


def heuristic_augmenter(run: AugmentationArguments, mask_token: str, seed: int) -> HeuristicAugmenter:
    """Set up the paper's rules as the arguments say."""
    return HeuristicAugmenter(
        n_iter=run.n_iter,
        p_mask=run.p_mask,
        p_pos=run.p_pos,
        p_ngram=run.p_ngram,
        mask_token=mask_token,
        tagger=run.tagger,
        seed=seed,
    )


def recombiner(
    run: AugmentationArguments, texts: Dataset, augmenter: HeuristicAugmenter, teacher: TextClassifier | None
) -> NlpaugTransform:
    """Set up what exchanges phrases for those of other texts, and words for their neighbours in the teacher."""
    settings: dict[str, Any] = {"mask_token": augmenter.mask_token, "seed": augmenter.seed}
    steps: list[Augmenter] = [PhraseAug(texts, tagger=augmenter.tagger, **settings)]
    if run.p_neighbor and teacher is not None:
        neighbors = nearest_words(texts, teacher.model, teacher.tokenizer)
        steps.append(NeighborAug(neighbors, run.p_neighbor, **settings))
    return NlpaugTransform(Sequential(steps), n_iter=run.n_recombined or 0, **settings)


def add_copies(
    run: AugmentationArguments,
    texts: Dataset,
    augmenter: HeuristicAugmenter,
    teacher: TextClassifier | None,
    num_proc: int | None,
) -> Dataset:
    """Add copies by the paper's rules, and after them others, recombined."""
    rows = augment(texts, augmenter, num_proc=num_proc)
    if not run.n_recombined:
        return rows
    recombined = augment(texts, recombiner(run, texts, augmenter, teacher), num_proc=num_proc)
    return concatenate_datasets([rows, recombined.filter(lambda is_copy: is_copy, input_columns=AUGMENTED)])
