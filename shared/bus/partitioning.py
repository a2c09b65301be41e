"""Which partition a key belongs to: the same answer as Kafka's default partitioner, on both buses.

aiokafka carries a murmur2 too, but importing it costs the embedded bus a whole Kafka client.
"""

from functools import lru_cache

__all__ = ["murmur2", "partition_of"]

_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """The 32-bit MurmurHash2 (Austin Appleby, public domain) with the seed of Apache Kafka, unsigned."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little")
        k = (k * _M) & _MASK
        k ^= k >> 24
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    if whole < length:
        h ^= int.from_bytes(data[whole:], "little")
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


# A member's id comes back in many events, so the pure-Python hash is remembered for the busiest keys.
@lru_cache(maxsize=65_536)
def _positive_hash(key: str) -> int:
    return murmur2(key.encode()) & 0x7FFFFFFF


def partition_of(key: str | None, partitions: int) -> int:
    """The partition (0 to partitions - 1) of a key; without a key it is 0, so that order is kept."""
    if key is None:
        return 0
    return _positive_hash(key) % partitions
