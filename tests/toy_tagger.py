"""A tagger whose answers a test can foresee."""


def by_first_letter(words: list[str]) -> list[str]:
    """A tagger whose answers can be read off the words: those with the same first letter are of one kind."""
    return [word[0] for word in words]
