"""What somebody who mistyped a name probably meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or what there is to choose from: the end of a sentence.

    >>> nearest("stpes", ["steps", "seeds"])
    "; did you mean 'steps'?"
    >>> nearest("plot", ["steps", "seeds"])
    '; choose from steps, seeds.'
    """
    names = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {names[close[0]]!r}?"
    return f"; choose from {', '.join(names.values())}." if names else "."
