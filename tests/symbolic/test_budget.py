"""The time budget: real computations that would take long end near it."""

import sys
import time

import pytest
import sympy as sp

from lnegeom import symbolic
from lnegeom.symbolic._budget import Budget
from lnegeom.symbolic._denominator import Denominator
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._polynomial import quotient

VARIABLES = sp.symbols("x y z r M")
x, y, z, r, M = VARIABLES
SUM = 1 + x + y + z + r + M
BUDGET = 0.2
# Of the processor, which a busy machine gives late; it would be tens of seconds without a budget.
LATE = 1.5


def in_time(work):
    start = time.process_time()
    with pytest.raises(symbolic.TimeBudgetError, match=r"^the time budget of 0.2 s is spent while") as caught:
        work()
    assert time.process_time() - start < LATE
    return str(caught.value)


CONSTRUCTORS = {
    "potential": lambda: symbolic.from_potential(SUM**30 / (1 + x * y) ** 3, VARIABLES, budget=BUDGET),
    "log-partition": lambda: symbolic.fisher(SUM**40, VARIABLES, budget=BUDGET),
    "graph": lambda: symbolic.graph(SUM**40, VARIABLES, budget=BUDGET),
    "divergence": lambda: symbolic.from_divergence(
        ((1 + x + y + M) ** 60 - (1 + z + r + M) ** 60) ** 2, [x, y], [z, r], budget=BUDGET
    ),
    "matrix": lambda: symbolic.Metric([[SUM**40]], [x], budget=BUDGET),
    "sympy's expand": lambda: symbolic.Metric([[sp.sin(SUM**25)]], [x], budget=BUDGET),
    "pullback": lambda: symbolic.Metric(sp.diag(x, 1), [x, y], budget=BUDGET).pullback(
        {x: (1 + z + M) ** 40 * (1 + r * M) ** 40, y: "r"}, [z, r]
    ),
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors_end_with_their_budget_and_name_the_fix(name):
    assert "; build it with a larger budget" in in_time(CONSTRUCTORS[name])


def slow_to_write():
    """A metric of one long component, made in time; its factors take seconds to write."""
    metric = symbolic.Metric([[SUM**12]], [x])
    metric.tensor  # noqa: B018
    metric.field.budget.seconds = BUDGET
    return metric


@pytest.mark.parametrize("write", [str, lambda t: t.latex(), lambda t: t[0, 0], lambda t: t.compile()])
def test_writing_ends_with_the_budget(write):
    assert "; ask again to go on" in in_time(lambda: write(slow_to_write().tensor))


@pytest.mark.parametrize(
    "ask",
    [
        lambda g: g.kretschmann,
        lambda g: g.riemann_lowered.covariant_derivative(),
        lambda g: g.riemann_lowered.raised(0),
        lambda g: g.killing_equation(["r*t", "a*theta", "r**2", "sin(theta)*t"]),
    ],
)
def test_asking_again_goes_on(ask):
    """Each time the clock runs out after so many looks; that is too few for all of it at once."""
    expected = ask(symbolic.kerr())
    g = symbolic.kerr()
    g.riemann_lowered  # noqa: B018
    looks, times = {}, 0

    def check():
        looks["left"] -= 1
        if looks["left"] < 0:
            raise symbolic.TimeBudgetError("the time budget of 60 s is spent")

    g.field.budget.check = check
    while True:
        times, looks["left"] = times + 1, 40
        assert times < 100
        try:
            found = ask(g)
        except symbolic.TimeBudgetError as error:
            assert "ask again to go on" in str(error)  # noqa: PT017
        else:
            break
    assert times > 1
    assert not g._late
    looks["left"] = 10**9
    assert {i: sp.srepr(e) for i, e in found.nonzero().items()} == {
        i: sp.srepr(e) for i, e in expected.nonzero().items()
    }


def test_a_generous_budget_changes_nothing():
    assert str(symbolic.kerr(budget=100.0).riemann) == str(symbolic.kerr().riemann)


def test_arithmetic_looks_at_the_clock_without_being_watched():
    budget = Budget(BUDGET)
    field = DifferentialField(budget)
    field.add_generator(x, lambda _: field.one)
    long = Element(field, dict.fromkeys(range(8000), 1))
    divisor = {k: (k * k) % 7 + 1 for k in range(3000)} | {3000: 1}
    for work in (
        lambda: long * long,
        lambda: Denominator(divisor, budget.check),
        lambda: quotient({20000: 1, 5: 2}, divisor, field.guard, budget.check),
    ):
        start = time.process_time()
        with pytest.raises(symbolic.TimeBudgetError), budget.running("numbers were crunched"):
            work()
        assert time.process_time() - start < LATE


def test_a_generator_that_is_thrown_away_does_not_stop_the_watch():
    """Python hears of no error there, and would not look again."""
    source = "def numbers():\n    yield 1\n\ndef leave():\n    next(numbers())\n\ndef go_on():\n    pass"
    ours = {"__name__": "sympy.example"}
    exec(source, ours)
    budget = Budget(1000.0)
    looks = []

    def check():
        looks.append(sys._getframe(2).f_code.co_name)
        if "numbers" in looks:
            raise symbolic.TimeBudgetError("in a generator")

    budget.check = check
    with budget.running("a generator was left", watched=True):
        ours["leave"]()
        ours["go_on"]()
    assert "leave" in looks
    assert "go_on" in looks
    assert "numbers" not in looks
