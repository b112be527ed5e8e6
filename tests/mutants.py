"""Things that are wrong in one respect, and how a law is seen to catch them."""

import copy

import pytest

from lnegeom.testing import LawError


def altered(thing, name, change):
    """The thing with one method's results changed by a function of them and of the method's arguments."""
    original = getattr(type(thing), name)

    def method(self, *args, **options):
        return change(original(self, *args, **options), *args)

    wrong = copy.copy(thing)
    object.__setattr__(wrong, "__class__", type("Altered", (type(thing),), {name: method}))
    return wrong


def times(factor):
    return lambda result, *args: factor * result


def names(table):
    return [f"{law}-{i}" for i, (_, law) in enumerate(table)]


def caught(check, wrong, law, x, **options):
    """The failure that the law reports, of the wrong thing."""
    with pytest.raises(LawError) as error:
        check(wrong, x, laws=[law], **options)
    (failure,) = error.value.failures
    text = str(error.value)
    assert f"breaks 1 of 1 laws\n\n  {law}: {failure.statement}\n    " in text
    assert failure.statement.endswith(".")
    return failure
