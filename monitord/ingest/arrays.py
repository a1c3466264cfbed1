"""A JSON array cut into its items, so that one bad item never costs its neighbours."""

from __future__ import annotations

import json
import re

from collections.abc import Iterator

from monitord.ingest.decoded import Code, Refused
from monitord.ingest.limits import DEPTH


BLANK = re.compile(r"[ \t\r\n]*")


def items(text: str) -> Iterator[str]:
    """
    Yield the text of each item, one at a time.

    Raises Refused: the text is no JSON array. What was yielded before is then not to be trusted.
    """
    # Only the extent of an item matters here: numbers stay text, however long they are.
    scan = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).raw_decode
    place = _skip(text, _skip(text, 0) + 1)
    if text[place : place + 1] == "]":
        _end(text, place)
        return
    while True:
        try:
            _, after = scan(text, place)
        except RecursionError:
            raise Refused(Code.TOO_DEEP, f"expected at most {DEPTH} levels of nesting") from None
        except ValueError as error:
            raise Refused(Code.NOT_JSON, f"not a JSON array: {str(error)[:200]}") from None
        yield text[place:after]
        place = _skip(text, after)
        sign = text[place : place + 1]
        if sign == "]":
            _end(text, place)
            return
        if sign != ",":
            raise Refused(Code.NOT_JSON, f"not a JSON array: expected , or ] at character {place}")
        place = _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    blank = BLANK.match(text, place)
    assert blank is not None  # the pattern matches nothing at all, too
    return blank.end()


def _end(text: str, place: int) -> None:
    if _skip(text, place + 1) != len(text):
        raise Refused(Code.NOT_JSON, "not a JSON array: something follows its end")
