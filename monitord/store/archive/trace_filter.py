"""
Tells from a few bytes that a chunk does not hold a trace id: a Bloom filter in blocks of 64 bytes.

An id sets seven bits of one block, so a look-up reads that block alone. At ten bits an id it is
wrong once in a hundred times, by saying that the id may be there. Pure; no database here.
"""

from __future__ import annotations

import numpy as np

from numpy.typing import NDArray


BLOCK_BYTES = 64
BLOCK_BITS = 8 * BLOCK_BYTES
BITS_PER_ID = 10
PROBES = 7

Hashes = NDArray[np.uint64]


def filter_of(traces: NDArray[np.void]) -> bytes:
    """Return the filter that knows these trace ids, of 16 raw bytes each."""
    blocks = -(-len(traces) * BITS_PER_ID // BLOCK_BITS)
    first, second = hashes(traces)
    bits = np.zeros(blocks * BLOCK_BITS, np.bool_)
    places = (first % np.uint64(blocks)).astype(np.int64) * BLOCK_BITS
    for probe in probes(second):
        bits[places + probe] = True
    return np.packbits(bits).tobytes()


def block_hash(trace: bytes) -> int:
    """Return what, modulo the number of blocks, is the block that knows a trace id."""
    first, _ = hashes(np.frombuffer(trace, "V16"))
    return int(first[0])


def may_hold(block: bytes, trace: bytes) -> bool:
    """Say whether the block of its `block_hash` knows a trace id."""
    _, second = hashes(np.frombuffer(trace, "V16"))
    bits = np.unpackbits(np.frombuffer(block, np.uint8))
    return all(bits[int(probe[0])] for probe in probes(second))


def hashes(traces: NDArray[np.void]) -> tuple[Hashes, Hashes]:
    """Return two hashes of each id; the first has 32 bits, for PostgreSQL's numbers have a sign."""
    halves = np.ascontiguousarray(traces).view("<u8").reshape(-1, 2)
    mixed = mix(halves[:, 0] + mix(halves[:, 1]))
    return mixed >> np.uint64(32), mix(mixed)


def probes(second: Hashes) -> list[NDArray[np.int64]]:
    """Return the places within a block, nine bits of the second hash each."""
    nine = np.uint64(BLOCK_BITS - 1)
    return [(second >> np.uint64(9 * one) & nine).astype(np.int64) for one in range(PROBES)]


def mix(numbers: Hashes) -> Hashes:
    """
    Return 64 bits that each depend on all of the number's: ids may be anything but random.

    This is the finalizer of splitmix64.
    """
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return mixed ^ mixed >> np.uint64(31)
