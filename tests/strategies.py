"""What hypothesis draws: texts as people, scrapers and attackers write them, and rows of token ids."""

from typing import Any

from hypothesis import strategies as st

_ODD_PIECES = [
    "",
    " ",
    "\t\n",
    "\u00a0\u2028\u0085",  # white space of other kinds
    "\x00",
    "\x01\x1b[31m\x7f",  # control characters
    "\ufeff",  # byte order mark
    "\u200b\u200d\u202e",  # no width, joiner, right-to-left override
    "👩‍👩‍👧‍👦👍🏽🇩🇪",
    "هذا فيلم رائع",
    "שלום",
    "फ़िल्म",
    "映画は面白い",
    "z\u0334\u0322\u031b\u0301",  # a heap of combining marks
    "e\u0301",
    "\u0301",
    "\U0010ffff\ufffd",
    "[MASK] [PAD] [UNK] <s> </s> ##a",
    "don't it's U.S. 1,000.5 ``x'' http://a.b/c?d=e",
    "<script>alert(1)</script>",
    "'; DROP TABLE films; --",
    "a" * 300,
    "-" * 100,
    "NULL nan None true",
]

odd_pieces = st.sampled_from(_ODD_PIECES)

odd_texts = st.lists(odd_pieces | st.text(max_size=8) | st.sampled_from(["good", "film", "bad"]), max_size=6).map(
    " ".join
)
"""Any text that can be written in UTF-8: often empty, blank, or in a script that the tokenizer does not know."""

token_rows = st.lists(st.lists(st.integers(1, 39), max_size=9), min_size=1, max_size=6)
"""Rows of token ids of a batch, some of them empty; 0 is left for padding."""


def half_characters() -> st.SearchStrategy[str]:
    """Draw texts with a lone surrogate, which Python holds and UTF-8 cannot."""
    surrogates: Any = st.characters(categories=["Cs"])
    return st.tuples(st.text(max_size=5), surrogates, st.text(max_size=5)).map("".join)
