"""Keys land where Kafka's own partitioner puts them."""

import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from shared.bus.partitioning import murmur2, partition_of


@given(st.binary(max_size=200))
def test_the_hash_is_the_one_of_kafka(data: bytes) -> None:
    assert murmur2(data) & 0x7FFFFFFF == reference(data) & 0x7FFFFFFF


# From Apache Kafka's UtilsTest.testMurmur2, as signed 32-bit numbers.
@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_the_hash_agrees_with_the_java_client(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


@given(st.none() | st.text(), st.integers(1, 100))
def test_a_key_has_one_partition_and_it_exists(key: str | None, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(key, partitions)
