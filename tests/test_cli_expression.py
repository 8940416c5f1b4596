"""Objects written as `name:key=value`: everything is looked up and checked, nothing evaluated."""

import pytest

import nashpo
from nashpo.cli.algorithms import make_solver
from nashpo.cli.expression import build, parse
from nashpo.solvers import APO, EGPO, INPO, MNPO, SPPO, NashMD
from nashpo.solvers.named import find_solver, names
from nashpo.stage import Harmonic

GAME = nashpo.Game.from_table([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]], beta=0.1)


def made(spec, eta=None, steps=100):
    return make_solver(spec, GAME, eta, steps)


@pytest.mark.parametrize(
    "spec", ["mnpo:history=(0.5,0.5),opponents=current", "MNPO(history=[0.5, 0.5], opponents='current')"]
)
def test_both_ways_of_writing_a_solver(spec):
    solver = made(spec)
    assert isinstance(solver, MNPO)
    assert (solver.history, solver.opponents) == ((0.5, 0.5), "current")


@pytest.mark.parametrize("spec", ["NashMD:eta=0.1", "nash_md:eta=0.1", "nash-md:eta=0.1"])
def test_names_are_read_in_any_usual_spelling(spec):
    assert repr(made(spec)) == repr(NashMD(0.1))


def test_solvers_inside_solvers_share_the_step_size():
    solver = made("apo:eta=0.3,momentum=0.5,base=sppo(baseline=half)")
    assert isinstance(solver, APO) and isinstance(solver.base, SPPO)
    assert (solver.eta, solver.base.eta, solver.base.baseline) == (0.3, 0.3, "half")
    assert made("apo:momentum=0.5,base=inpo", eta=0.2).base.eta == 0.2


def test_a_word_may_stand_for_an_object_without_settings():
    assert isinstance(made("nashmd:eta=harmonic").eta, Harmonic)
    assert made("nashmd:eta=harmonic(scale=1)").eta.scale == 1


def test_the_default_step_size_is_the_proven_one_else_that_of_averages():
    assert made("egpo").eta == pytest.approx(1 / 0.6)
    assert made("INPO").eta == pytest.approx(0.1 / (0.01 + 0.25))
    assert made("spo", steps=200).eta == pytest.approx((8 * 1.0986122886681098 / 200) ** 0.5)
    assert made("egpo:eta=0.25").eta == 0.25
    assert made("egpo", eta=0.75).eta == 0.75


def test_names_are_found_in_any_case_and_by_path():
    assert find_solver("NASH_MD") is find_solver("NashMD") is nashpo.solvers.NashMD
    assert isinstance(made("nashpo.solvers:EGPO:eta=0.2"), EGPO)
    assert isinstance(made("nashpo.solvers:INPO"), INPO)
    assert {"EGPO", "SPO", "MNPO", "RegretMatching"} <= set(names())
    assert all(not name.endswith("Warning") for name in names())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("egbo", "there is no solver 'egbo'; did you mean 'egpo'?"),
        ("mnpo:histroy=1", "solver mnpo has no setting 'histroy'; did you mean 'history'?"),
        ("regretmatching:eta=1", "solver regretmatching has no setting 'eta'; it has none"),
        ("mnpo:opponents=curent", "opponents is 'curent', but must be one of mixture, current"),
        ("mnpo:history=(a,2)", "history is 'a', but must be a number"),
        ("onlineipo:variant=2.5", "variant is 2.5, but must be a whole number"),
        ("onlineipo:variant=1e999", "variant is inf, but must be a whole number"),
        ("onlineipo:variant=true", "variant is True, but must be a whole number"),
        ("egpo:eta='x'", "eta is 'x', but must be a number"),
        ("egpo:eta=(1,2)", "eta is (1, 2), but must be a number"),
        ("egpo:eta=none", "eta cannot be none"),
        ("nashmd:mix=abc", "mix is 'abc', which is no number, and there is no solver 'abc'"),
        ("egpo:eta=1,eta=2", "eta is given twice"),
        ("egpo:eta=1e", "cannot be read"),
        ("egpo:0.1", "cannot be read"),
        ("egpo(0.1)", "write every setting as key=value"),
        ("egpo:**{}=1", "cannot be read"),
        ("", "cannot be read"),
        ("egpo:eta=1+1", "'1 + 1' is not a number, a word or a tuple"),
        ("egpo:eta=__import__('os').getpid()", "is not a number, a word or a tuple"),
        ("apo", "solver apo needs momentum"),
        ("nashpo.solvers:EGPX", "module 'nashpo.solvers' has no 'EGPX'"),
        ("os:path", "solver os:path is neither a class nor a function."),
        ("no_such_module_at_all:EGPO", "module 'no_such_module_at_all' cannot be imported"),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(ValueError) as error:
        made(spec)
    assert message in str(error.value)


def test_plain_annotations_are_checked():
    def maker(size: int, name: str = "x", on: bool = False, share: float = 0.5):
        return size, name, on, share

    def find(name):
        return maker

    assert build(parse("f:size=3.0,name=word,on=true,share=1", "thing"), find, "thing") == (3, "word", True, 1)
    with pytest.raises(ValueError, match="thing f: on is 1, but must be true or false"):
        build(parse("f:size=3,on=1", "thing"), find, "thing")
    with pytest.raises(ValueError, match="thing f: size is 'many', but must be a whole number"):
        build(parse("f:size=many", "thing"), find, "thing")
    with pytest.raises(ValueError, match="thing f: name is 3, but must be a word"):
        build(parse("f:size=3,name=3", "thing"), find, "thing")
