"""Part-of-speech taggers: words of one sentence in, Penn Treebank tags out.

The default, "lexicon", needs no package and no download.
"""

import functools
import re
from collections.abc import Callable

from hf_bilstm_distill.augmentation.lexicon_tagger import tag_by_lexicon

Tagger = Callable[[list[str]], list[str]]
"""Takes the words of one sentence and returns as many tags."""

_NAMES = '"lexicon", "nltk", "textblob", "spacy:MODEL" or a function from words to tags'
_INSTALL = """Run `pip install "hf-bilstm-distill[pos]"`, or use the tagger 'lexicon', which needs nothing."""


def load_tagger(name: str | Tagger) -> Tagger:
    """Return the tagger of a name. A process loads each one once.

    Args:
        name: "lexicon" (no download, about as good as the others for replacing words by others of their kind), "nltk"
            (averaged perceptron, slow), "textblob" (pattern's rules), "spacy:MODEL" (slowest), or a function, which is
            returned as it is. All but the function take the words of a text all in capitals in lower case.

    Returns:
        A function from the words of a sentence to their tags. Call it through `tag_words`, which checks the answer.

    Raises:
        ValueError: If no tagger has this name, or the model of spaCy has no tagger.
        ImportError: If its package is not installed.
        LookupError: If NLTK lacks the data of its tagger.
        OSError: If spaCy lacks the model.
        TypeError: If `name` is neither a name nor a function.
    """
    if callable(name):
        return name
    if not isinstance(name, str):
        raise TypeError(f"A tagger must be {_NAMES}, got {name!r}.")
    if name in _LOADERS or re.fullmatch(r"spacy:.+", name):
        return _load(name)
    raise ValueError(f"There is no tagger {name!r}. Choose one of {_NAMES}.")


def tag_words(tagger: Tagger, words: list[str]) -> list[str]:
    """Return the tags of the words of one sentence, one for each.

    Args:
        tagger: What `load_tagger` gave.
        words: The words, in their order.

    Returns:
        The tags, as many as words.

    Raises:
        ValueError: If the tagger gives more or fewer tags than words.
    """
    tags = tagger(words)
    if len(tags) != len(words):
        raise ValueError(
            f"The tagger {getattr(tagger, '__name__', tagger)!r} gave {len(tags)} tags for the {len(words)} words "
            f"{words}. A tagger must give one tag a word."
        )
    return tags


@functools.cache
def _load(name: str) -> Tagger:
    kind, _, model = name.partition(":")
    return _load_spacy(model) if kind == "spacy" else _LOADERS[name]()


def _load_nltk() -> Tagger:
    try:
        from nltk.tag import PerceptronTagger
    except ImportError as error:
        raise ImportError(f"The tagger 'nltk' needs the package nltk. {_INSTALL}") from error
    try:
        perceptron = PerceptronTagger()
    except LookupError as error:
        raise LookupError(
            "NLTK is installed, but the data of its tagger, averaged_perceptron_tagger_eng, is not. Run "
            "`python -m nltk.downloader averaged_perceptron_tagger_eng`, or name the folder that holds it in the "
            "environment variable NLTK_DATA, or use the tagger 'lexicon', which needs no data."
        ) from error
    return lambda words: [tag for _, tag in perceptron.tag(_without_shouting(words))]


def _load_textblob() -> Tagger:
    try:
        from textblob.en import parser
    except ImportError as error:
        raise ImportError(f"The tagger 'textblob' needs the package textblob. {_INSTALL}") from error
    return lambda words: [tag for _, tag in parser.find_tags(_without_shouting(words))]


def _load_spacy(model: str) -> Tagger:
    try:
        import spacy
    except ImportError as error:
        raise ImportError(
            f"The tagger 'spacy:{model}' needs the package spacy. Run `pip install spacy` and `python -m spacy "
            f"download {model}`, or use another tagger: {_INSTALL}"
        ) from error
    try:
        pipeline = spacy.load(model, exclude=["parser", "ner", "attribute_ruler", "lemmatizer"])
    except OSError as error:
        raise OSError(
            f"spaCy has no model {model!r}. Run `python -m spacy download {model}`, or name one that is installed."
        ) from error
    if "tagger" not in pipeline.pipe_names:
        raise ValueError(
            f"spaCy's model {model!r} has no tagger, only {pipeline.pipe_names}: it would call all words alike. Name "
            "another model."
        )
    return lambda words: [
        word.tag_ for word in pipeline(spacy.tokens.Doc(pipeline.vocab, words=_without_shouting(words)))
    ]


def _without_shouting(words: list[str]) -> list[str]:
    """Return the words of a text all in capitals in lower case, as there every word would look like a name."""
    return [word.lower() for word in words] if " ".join(words).isupper() else words


_LOADERS: dict[str, Callable[[], Tagger]] = {
    "lexicon": lambda: tag_by_lexicon,
    "nltk": _load_nltk,
    "textblob": _load_textblob,
}
