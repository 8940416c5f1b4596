"""The table `[algorithm]`: the update rule, and the KL weight of the game."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nashpo.lm.config.schedules import Scheduled, ScheduledStep, read_number
from nashpo.stage import UpdateRule
from nashpo.studies.document import Document
from nashpo.studies.solvers import find_solver, read_solver
from nashpo.studies.values import at_least_zero, positive

BETA = 0.1
"""The KL weight of the game where none is given."""


def read_algorithm(document: Document, steps: int) -> tuple[UpdateRule, float | Scheduled]:
    """The update rule, and the KL weight or its schedule over the `steps` of the run.

    Every setting of a rule in `nashpo.solvers` is a key; `eta` may be a schedule too.

    Raises `ValueError` naming the line, for what is no update rule and what does not fit.

    >>> from nashpo.studies.document import read_document
    >>> read_algorithm(read_document({"algorithm": {"solver": "egpo", "eta": 0.5, "beta": 0.01}}), steps=10)
    (EGPO(eta=0.5), 0.01)
    """
    place = ("algorithm",)
    given = document.entries.get("algorithm")
    if not isinstance(given, Mapping):
        raise ValueError(f'{document.source}: there is no [algorithm] with solver = "egpo" and eta = ...')
    entry = dict(given)
    beta = read_number(document, (*place, "beta"), entry.pop("beta", BETA), at_least_zero, steps)
    scheduled = None
    if isinstance(entry.get("eta"), Mapping) and "schedule" in entry["eta"]:
        scheduled = read_number(document, (*place, "eta"), entry["eta"], positive, steps)
        entry["eta"] = 1.0
    _check_rule(document, entry.get("solver"))
    rule: Any = read_solver(document, place, entry)
    if isinstance(scheduled, Scheduled):
        rule = dataclasses.replace(rule, eta=ScheduledStep(scheduled))  # type: ignore[type-var]  rules are records
    return rule, beta


def _check_rule(document: Document, name: Any) -> None:
    """Refuse a solver that is no update rule; what is no solver at all is somebody else's to refuse."""
    try:
        found = find_solver(name) if isinstance(name, str) else None
    except ValueError:
        return
    if isinstance(found, type) and not hasattr(found, "stages"):
        document.wrong(
            ("algorithm", "solver"),
            f"is {name!r}, which needs responses that can be listed; language models take update rules: egpo, inpo, "
            "mnpo, nash_md, spo, sppo, apo and others.",
        )
