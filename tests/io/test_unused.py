"""What readers leave aside is said in one sentence."""

from __future__ import annotations

import pytest

from nbnumba.io.unused import unused_note


@pytest.mark.parametrize(
    ("things", "said"),
    [
        ([], ()),
        (["a"], ("f also has a, not used",)),
        (["a", "b", "a"], ("f also has a and b, not used",)),
        (["a", "b", "c"], ("f also has a, b and c, not used",)),
    ],
)
def test_each_thing_is_named_once(things: list[str], said: tuple[str, ...]) -> None:
    assert unused_note("f", iter(things)) == said
