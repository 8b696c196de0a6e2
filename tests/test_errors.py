import doctest

from penstock import errors


def test_examples_of_the_error_tree_hold() -> None:
    assert doctest.testmod(errors).failed == 0
