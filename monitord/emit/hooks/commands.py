"""Which commands of Redis look a value up, and whether they found it. Pure."""

from __future__ import annotations

import functools

from collections.abc import Iterator, Sequence
from typing import Any


# One key, one value: nothing, or an empty collection, is a miss.
_ONE = frozenset({"GET", "GETEX", "GETDEL", "HGET", "HGETALL", "JSON.GET"})
# Many keys, a value each.
_EACH_KEY = frozenset({"MGET"})
# One key, many fields, a value each.
_EACH_FIELD = frozenset({"HMGET", "HGETEX", "HGETDEL"})

LOOKUPS = _ONE | _EACH_KEY | _EACH_FIELD

# Commands whose first argument is a key; of others no type is said.
KEYED = LOOKUPS | frozenset(
    [
        "APPEND",
        "BITCOUNT",
        "BITFIELD",
        "BITPOS",
        "DECR",
        "DECRBY",
        "DEL",
        "DUMP",
        "EXISTS",
        "EXPIRE",
        "EXPIREAT",
        "EXPIRETIME",
        "GEOADD",
        "GEOSEARCH",
        "GETBIT",
        "GETRANGE",
        "GETSET",
        "HDEL",
        "HEXISTS",
        "HEXPIRE",
        "HINCRBY",
        "HINCRBYFLOAT",
        "HKEYS",
        "HLEN",
        "HMSET",
        "HPTTL",
        "HRANDFIELD",
        "HSCAN",
        "HSET",
        "HSETEX",
        "HSETNX",
        "HSTRLEN",
        "HTTL",
        "HVALS",
        "INCR",
        "INCRBY",
        "INCRBYFLOAT",
        "JSON.SET",
        "LINDEX",
        "LINSERT",
        "LLEN",
        "LMOVE",
        "LPOP",
        "LPOS",
        "LPUSH",
        "LPUSHX",
        "LRANGE",
        "LREM",
        "LSET",
        "LTRIM",
        "MSET",
        "PERSIST",
        "PEXPIRE",
        "PEXPIREAT",
        "PFADD",
        "PFCOUNT",
        "PSETEX",
        "PTTL",
        "RENAME",
        "RPOP",
        "RPUSH",
        "RPUSHX",
        "SADD",
        "SCARD",
        "SDIFF",
        "SET",
        "SETBIT",
        "SETEX",
        "SETNX",
        "SETRANGE",
        "SINTER",
        "SISMEMBER",
        "SMEMBERS",
        "SMISMEMBER",
        "SMOVE",
        "SORT",
        "SPOP",
        "SRANDMEMBER",
        "SREM",
        "SSCAN",
        "STRLEN",
        "SUNION",
        "TOUCH",
        "TTL",
        "TYPE",
        "UNLINK",
        "WATCH",
        "XACK",
        "XADD",
        "XDEL",
        "XLEN",
        "XRANGE",
        "XREVRANGE",
        "XTRIM",
        "ZADD",
        "ZCARD",
        "ZCOUNT",
        "ZINCRBY",
        "ZPOPMAX",
        "ZPOPMIN",
        "ZRANGE",
        "ZRANGEBYSCORE",
        "ZRANK",
        "ZREM",
        "ZREMRANGEBYRANK",
        "ZREMRANGEBYSCORE",
        "ZREVRANGE",
        "ZREVRANK",
        "ZSCAN",
        "ZSCORE",
    ]
)

# A key, how many of its values were there, and how many were not.
Found = tuple[Any, int, int]


def found(command: str, keys: Sequence[Any], answer: object) -> Iterator[Found]:
    """
    Yield what a look-up found; `keys` are the command's arguments.

    An error in place of an answer is neither a hit nor a miss.
    """
    if not keys or isinstance(answer, BaseException):
        return
    if command in _ONE:
        hit = answer is not None and answer not in ({}, [], ())
        yield keys[0], int(hit), int(not hit)
    elif isinstance(answer, list | tuple):
        values = [value is not None for value in answer]
        if command in _EACH_KEY:
            yield from (
                (key, int(hit), int(not hit)) for key, hit in zip(keys, values, strict=False)
            )
        else:
            yield keys[0], sum(values), len(values) - sum(values)


@functools.lru_cache(1_024)
def word(name: object) -> str:
    """Return the command's own name, `CONFIG` of `CONFIG GET`, in upper case."""
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
    return text.upper()
