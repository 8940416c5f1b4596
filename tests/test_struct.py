"""Records as pytrees."""

import dataclasses

import jax
import pytest

from nashpo.struct import record, static


def make(index):
    @record
    class Rule:
        value: float
        name: str = static(default="rule")

        def apply(self):
            return 0 * self.value + index

    return Rule


def test_classes_with_the_same_fields_are_different_structures():
    one, two = make(1), make(2)
    assert jax.tree.structure(one(1.0)) != jax.tree.structure(two(1.0))
    assert jax.tree.structure(one(1.0)) == jax.tree.structure(one(2.0))
    assert jax.tree.structure(one(1.0)) != jax.tree.structure(one(1.0, "other"))


def test_a_compiled_program_belongs_to_one_class():
    program = jax.jit(lambda rule: rule.apply())
    for index in range(60):
        assert program(make(index)(1.0)) == index


def test_records_are_frozen_rebuilt_whole_and_name_their_leaves():
    node = make(0)(3.0, "x")
    doubled = jax.tree.map(lambda leaf: 2 * leaf, node)
    assert (doubled.value, doubled.name) == (6.0, "x")
    assert dataclasses.replace(node, value=1.0).value == 1.0
    assert [str(path[0]) for path, _ in jax.tree_util.tree_leaves_with_path(node)] == [".value"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.value = 2.0
