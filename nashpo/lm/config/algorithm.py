"""The table `[algorithm]`: the update rule, and the KL weight of the game."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nashpo.lm.config.schedules import Scheduled, ScheduledStep, read_number
from nashpo.solvers.named import find_solver
from nashpo.stage import UpdateRule
from nashpo.studies.document import Document
from nashpo.studies.solvers import read_solver
from nashpo.studies.values import at_least_zero, positive, up_to_one

BETA = 0.1
"""The KL weight of the game where none is given."""


def read_algorithm(document: Document, steps: int) -> tuple[UpdateRule, float | Scheduled]:
    """The update rule, and the KL weight or its schedule over the `steps` of the run.

    Every setting of a rule in `nashpo.solvers` is a key; `eta`, and `mix` of Nash-MD, may be schedules too.

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
    scheduled = {}
    for key, kind in (("eta", positive), ("mix", up_to_one)):
        if isinstance(entry.get(key), Mapping) and "schedule" in entry[key]:
            found = read_number(document, (*place, key), entry[key], kind, steps)
            scheduled[key] = ScheduledStep(found)  # type: ignore[arg-type]  a mapping is a schedule
            entry[key] = 0.5
    _check_rule(document, entry.get("solver"))
    rule: Any = read_solver(document, place, entry)
    return dataclasses.replace(rule, **scheduled) if scheduled else rule, beta


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
