"""Times learners on networks side by side with PyTorch, in one run, and prints ratios.

    python experiments/benchmarks/networks.py                      everything, a few minutes
    python experiments/benchmarks/networks.py --sections protocol  some of it
    python experiments/benchmarks/networks.py --smoke              seconds; the figures mean nothing

README.md explains the figures.
"""

import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from sections import run as run_sections
from timing import side_by_side

BETA, RATE, GAMES, RESPONSES = 0.01, 0.003, 10, 100
sys.path.append(str(Path(__file__).resolve().parents[1]))


def line(what: str, value: float, unit: str, target: str = "", met: bool | None = None) -> str:
    """One figure, with the target that it should meet."""
    goal = "" if met is None else f"  {target} {'yes' if met else 'NO'}"
    return f"  {what:<66}{value:9.4g} {unit:<10}{goal}"


def protocol(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """EGPO's neural protocol, exact feedback: 10 games of 100 responses, one network, plain gradient descent, float32.

    PyTorch as the authors' code does it, with its gap of every update and without; both start from the same weights
    and must end with gaps of the same size.
    """
    import numpy as np
    import torch_networks
    from egpo_neural import game, network

    import nashpo
    from nashpo.learners import Regression
    from nashpo.metrics import gap_by_prompt

    updates, fewer = (20, 2) if smoke else (10_000, 300)
    some = game(0, BETA)
    table = np.asarray(some.oracle.table())

    def ours(steps=updates, every=1):
        rule, learner = nashpo.solvers.EGPO(1 / BETA), Regression(GAMES * RATE)
        found = nashpo.solve(some, rule, learner=learner, steps=steps, every=every, metrics={"gaps": gap_by_prompt})
        return found.trace["gaps"]

    def theirs(gaps: bool):
        return torch_networks.extragradient(table, network(0), BETA, RATE, fewer, gaps)

    times = side_by_side(
        {
            "nashpo, every gap": ours,
            "nashpo, 100 gaps": lambda: ours(every=updates // 10 if smoke else 100),
            "PyTorch, every gap": lambda: theirs(True),
            "PyTorch, no gaps": lambda: theirs(False),
        },
        repeats,
        60.0,
    )
    peer = times["PyTorch, every gap"]
    if peer.note:
        print(f"  PyTorch {peer.note}")
        times = {name: timing for name, timing in times.items() if not timing.note}
    elif not np.allclose(first := ours(fewer)[-1], peer.answer[-1], rtol=2e-2, atol=2e-6):
        print(f"  after {fewer} updates the gaps differ by up to {np.abs(first - peer.answer[-1]).max():.1e}")
    counts = {name: updates if "nashpo" in name else fewer for name in times}
    each = {name: 1e6 * timing.seconds / counts[name] for name, timing in times.items()}
    rows = [{"what": name, "value": value, "unit": "us/update"} for name, value in each.items()]
    for measured in ("every gap", "no gaps") if not peer.note else ():
        own = each["nashpo, every gap" if measured == "every gap" else "nashpo, 100 gaps"]
        ratio = each[f"PyTorch, {measured}"] / own
        what = f"PyTorch over nashpo, {measured} against {measured.replace('no', '100')}"
        rows.append({"what": what, "value": ratio, "unit": "x", "target": ">= 10", "met": ratio >= 10})
    return rows


def seeds(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """64 networks at once against one: the protocol above for 10 games, and one game of 100 responses with Adam."""
    import numpy as np
    import optax
    from egpo_neural import SharedNetwork, game, network
    from flax import nnx

    import nashpo
    from nashpo.learners import Regression
    from nashpo.policies import Neural
    from nashpo_games import random_constant_sum

    count, steps = (4, 10) if smoke else (64, 2000)
    table = random_constant_sum(RESPONSES, seed=0).oracle.table().astype(np.float32)
    single = [
        Neural.from_module(SharedNetwork(nnx.Rngs(seed), games=1), np.ones((1, 1), np.float32)) for seed in range(count)
    ]
    cases = {
        "10 games, plain descent": (
            game(0, BETA),
            1 / BETA,
            Regression(GAMES * RATE),
            [network(s) for s in range(count)],
        ),
        "1 game, Adam": (nashpo.Game.from_table(table, beta=0.1), 1.0, Regression(1e-2, optax.adam), single),
    }
    rows = []
    for name, (some, eta, learner, starts) in cases.items():

        def run(number, some=some, eta=eta, learner=learner, starts=starts):
            rule = nashpo.solvers.EGPO(eta)
            return nashpo.sweep(
                some, rule, learner=learner, starts=starts[:number], seeds=number, steps=steps, every=steps
            )

        run(1)
        run(count)
        times = side_by_side({"1": lambda run=run: run(1), "64": lambda run=run: run(count)}, repeats, 60.0)
        alone, together = (times[key].seconds for key in ("1", "64"))
        rows += [
            {"what": f"{name}: one network, a step", "value": 1e6 * alone / steps, "unit": "us"},
            {"what": f"{name}: {count} networks, a step", "value": 1e6 * together / steps, "unit": "us"},
            {"what": f"{name}: {count} over one", "value": together / alone, "unit": "x", "target": "< 8",
             "met": together / alone < 8},
        ]  # fmt: skip
    return rows


def token(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """A run of a token policy from samples: how much of its time is spent outside compiled code.

    The compiled program of the whole run is timed alone, from device arrays to device arrays, and then `nashpo.solve`
    around it, the trace on the host included. `collect` and `fit` are timed as programs of their own.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    import nashpo
    from nashpo.learners import Fresh, Sampled
    from nashpo.policies import Answers, Token, Transformer
    from nashpo.run import _run, prepare
    from nashpo.stage import Stage, against, pull
    from nashpo_games import token_majority

    steps, updates, size = (2, 2, 4) if smoke else (25, 8, 32)
    game = token_majority(length=3, prompts=2, beta=0.2)
    answers = Answers(vocabulary=3, length=3, end=True)
    decoder = Transformer(answers, features=2, width=32, heads=2, layers=2, rngs=nnx.Rngs(0))
    start = Token.from_module(decoder, np.eye(2, dtype=np.float32), answers)
    learner = Sampled(1e-3, responses=size, gains=Fresh(size), updates=updates)
    rule = nashpo.solvers.EGPO(1.0)

    def solve():
        found = nashpo.solve(game, rule, learner=learner, start=start, steps=steps, every=steps)
        return found.trace["duality_gap"], jax.block_until_ready(found.last.params)

    plan = prepare(game, rule, steps, steps, start, learner, None, None, ())
    arguments = jax.device_put((plan.game, plan.solver, plan.start, None, plan.seed, None, {}))

    def program():
        return jax.block_until_ready(_run(*arguments, 0, steps, every=steps, capacity=1))

    ready = jax.tree.map(jnp.asarray, dataclasses.replace(game.nameless(), beta=0.2))
    policy = jax.tree.map(jnp.asarray, start)
    slots = {"now": policy, "reference": ready.reference}
    stage = Stage(pull(1.0, 0.2), against("now"), 1.0)
    gather = jax.jit(lambda key, policy: learner.collect(key, policy, {**slots, "now": policy}, stage, ready))
    whole = jax.jit(lambda c, key, policy: learner.fit(c, key, policy, {**slots, "now": policy}, stage, ready))
    carry, key = learner.carry(policy), jax.random.key(0)
    solve()
    program()
    times = side_by_side(
        {
            "solve": solve,
            "program": program,
            "collect": lambda: jax.block_until_ready(gather(key, policy)),
            "collect and fit": lambda: jax.block_until_ready(whole(carry, key, policy)),
        },
        repeats,
        60.0,
    )
    outside = statistics.median(_share(solve, program) for _ in range(max(repeats, 3)))
    rows = [{"what": f"{name}, one call", "value": 1e3 * t.seconds, "unit": "ms"} for name, t in times.items()]
    what = f"outside the compiled program, {steps} steps"
    return [*rows, {"what": what, "value": 100 * outside, "unit": "%", "target": "< 10", "met": outside < 0.1}]


def _share(whole: Any, part: Any) -> float:
    """How much longer `whole` takes than `part`, as a share of it; both timed now, one after the other."""
    begin = time.perf_counter()
    part()
    middle = time.perf_counter()
    whole()
    inner, outer = middle - begin, time.perf_counter() - middle
    return max(0.0, (outer - inner) / outer)


if __name__ == "__main__":
    run_sections(__doc__, {"protocol": protocol, "seeds": seeds, "token": token}, line, repeats=5)
