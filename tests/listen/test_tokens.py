"""Tokens are compared as digests of bytes."""

import pytest

from multidict import CIMultiDict, CIMultiDictProxy

from monitord.listen import TokenSet, bearer
from monitord.settings import Secret


@pytest.mark.parametrize(
    ("token", "known"),
    [
        ("first", True),
        ("sécond", True),
        ("third", False),
        ("", False),
        ("firs", False),
        ("f" * 1_000_000, False),
        ("\udce9", False),
        (b"first", False),
    ],
)
def test_membership(token: object, known: bool) -> None:
    """A known token is found whatever its letters; anything else is not, and nothing raises."""
    tokens = TokenSet([Secret("first"), Secret("sécond"), Secret("")])

    assert (token in tokens) is known


def test_no_tokens_is_false() -> None:
    """A set of empty secrets asks for nothing, and holds nothing."""
    tokens = TokenSet([Secret(""), Secret()])

    assert not tokens
    assert "" not in tokens


@pytest.mark.parametrize(
    ("values", "token"),
    [
        (["Bearer abc"], "abc"),
        (["bearer  abc "], "abc"),
        (["Basic abc"], None),
        (["Bearer"], None),
        (["Bearer "], None),
        (["abc"], None),
        ([], None),
        (["Bearer abc", "Bearer abd"], None),
    ],
)
def test_bearer(values: list[str], token: str | None) -> None:
    """Exactly one Authorization header of kind Bearer carries a token."""
    headers = CIMultiDictProxy(CIMultiDict([("Authorization", value) for value in values]))

    assert bearer(headers) == token
