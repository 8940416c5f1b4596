"""Runs of one solver that must agree: however they are cut, measured, padded, relabelled or batched."""

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.driver import drive
from nashpo.game import Game
from nashpo.stacking import stack
from nashpo.testing.games import GAMES, PROMPTS, REFERENCE, random_table
from nashpo.testing.law import Law
from nashpo.testing.runs import AXES, EVERY, EXACT, GAPS, MEASURED, PROBS, STEPS, Runs, probs, scaled, sound


def prompts(runs: Runs) -> None:
    """Prompts solved together and alone."""
    remedy = "compute every prompt from its own row, reduce over the last axis only"
    with Law(runs.name, "prompts are solved as if alone", remedy) as law:
        together = probs(runs(GAMES["prompts"]()).policy)
        for index, seed in enumerate(PROMPTS):
            game = Game.from_table(random_table(seed), beta=0.1, reference=REFERENCE)
            what = f"the answer to prompt {index} among {len(PROMPTS)}"
            law.close(together[index : index + 1], probs(runs(game).policy), what, AXES, **EXACT)


def labels(runs: Runs) -> None:
    """Responses in another order."""
    remedy = "treat all responses alike; break ties by values and not by position"
    with Law(runs.name, "relabelled responses give the relabelled answer", remedy) as law:
        order = np.array([3, 0, 4, 1, 2])
        table = random_table(0)[np.ix_(order, order)]
        found = runs(Game.from_table(table, beta=0.1, reference=REFERENCE[order]))
        law.close(probs(found.policy), probs(runs.usual.policy)[:, order], "the answer", AXES, **PROBS)
        gaps = found.trace["duality_gap"], runs.usual.trace["duality_gap"]
        law.close(*gaps, "the duality gap", MEASURED, **GAPS)


def certain(runs: Runs) -> None:
    """Certain wins, and padding, which consists of them."""
    remedy = "keep everything finite where a win rate is 0 or 1, or say certain=False and refuse such tables"
    with Law(runs.name, "win rates of 0 and 1 are borne", remedy) as law:
        game = GAMES["certain"]()
        sound(law, runs(game), game)
    remedy = "count real responses only, those whose reference probability is not 0"
    with Law(runs.name, "padding is exact", remedy) as law:
        small = Game.from_table(random_table(0, size=3), beta=0.1, reference=np.array([0.5, 0.2, 0.3]))
        games = [small, GAMES["random"](), Game.from_table(random_table(8), beta=0.1)]
        together = runs(stack(games))
        answer, alone = probs(together.policy), [runs(game) for game in games]
        law.close(answer[0, 3:], np.zeros(2), "the probability of padding", ("padding",))
        for index, (game, result) in enumerate(zip(games, alone, strict=True)):
            found = answer[index : index + 1, : game.shape[1]]
            law.close(found, probs(result.policy), f"the answer of padded game {index}", AXES, **EXACT)
        gaps = np.mean([result.trace["duality_gap"] for result in alone], axis=0)
        law.close(together.trace["duality_gap"], gaps, "the mean duality gap", MEASURED, **GAPS)


def units(runs: Runs) -> None:
    """Payoffs `2P - 1` in a game with `2 beta`, at `eta / 2`."""
    remedy = "let payoffs enter through eta * win rates alone, or say affine=False"
    with Law(runs.name, "payoffs 2P - 1 with 2 beta and eta / 2 change only the units", remedy) as law:
        game = Game.from_table(2 * random_table(0) - 1, beta=0.2, reference=REFERENCE, scale="score")
        found = runs(game, scaled(runs.solver, 0.5))
        law.close(probs(found.policy), probs(runs.usual.policy), "the answer", AXES, **PROBS)
        gaps = found.trace["duality_gap"], 2 * runs.usual.trace["duality_gap"]
        law.close(*gaps, "the duality gap", MEASURED, **GAPS)


def thinned(runs: Runs) -> None:
    """Measured after every step, and after every fourth."""
    remedy = "let step depend on the state and not on how often it is measured"
    with Law(runs.name, "`every` only thins the trace", remedy) as law:
        fine = runs(GAMES["random"](), every=1)
        law.close(probs(fine.policy), probs(runs.usual.policy), "the answer", AXES, atol=1e-15, rtol=1e-11)
        gaps = fine.trace["duality_gap"][EVERY - 1 :: EVERY], runs.usual.trace["duality_gap"]
        law.close(*gaps, "the duality gap", MEASURED, **GAPS)


def driven(runs: Runs) -> None:
    """Interrupted after every fourth step."""
    remedy = "keep all that the next step needs in the state"
    with Law(runs.name, "solve and drive give the same bits", remedy) as law:
        parts = drive(GAMES["random"](), runs.solver, steps=STEPS, every=EVERY, segment=1)
        law.close(parts.policy.log_probs(), runs.usual.policy.log_probs(), "the answer in segments", AXES)
        for metric, values in runs.usual.trace.items():
            law.close(parts.trace[metric], values, f"the trace {metric!r} in segments", MEASURED)


def single(runs: Runs) -> None:
    """In float32."""
    remedy = "make constants and counters from the dtype of the policies"
    with Law(runs.name, "float32 stays float32 and agrees to its precision", remedy) as law:
        for key in ("random", "original"):
            game = GAMES[key]()
            table, reference = (np.asarray(x, np.float32) for x in (game.oracle.table(), probs(game.reference)))
            found = runs(Game.from_table(table, beta=game.beta, reference=reference))
            answer = np.asarray(found.policy.log_probs())
            law.require(answer.dtype == np.float32, f"the answer to a float32 game is {answer.dtype}")
            law.close(np.exp(answer), probs(runs(game).policy), "the answer in float32", AXES, atol=2e-5)


def batched(runs: Runs) -> None:
    """Two games and two settings in `jax.vmap`."""
    remedy = "compute with jax.numpy only (no callbacks, no NumPy, no Python branches on values)"
    with Law(runs.name, "runs can be batched with jax.vmap", remedy) as law:
        games, solvers = [GAMES["random"](), GAMES["tiny_beta"]()], [runs.solver, runs.other]

        @jax.jit
        @jax.vmap
        def answers(game, solver):
            def step(index, state):
                return solver.step(game, state, jax.random.fold_in(jax.random.key(0), index))[0]

            return solver.policy(jax.lax.fori_loop(0, STEPS, step, solver.init(game, game.reference))).log_probs()

        lanes = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *pair) for pair in (games, solvers)]
        for lane, found in enumerate(np.asarray(answers(*lanes))):
            alone = probs(runs(games[lane], solvers[lane]).policy)
            law.close(np.exp(found), alone, f"the answer of lane {lane}", AXES, **PROBS)
