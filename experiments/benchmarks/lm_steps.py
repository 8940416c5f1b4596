"""Whole training steps of nashpo on the models of lm.py: Nash-MD and online DPO, as TRL's trainers take them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import nashpo
from nashpo.learners.losses import DPO, PolicyGradient
from nashpo.lm.decoder import LoRA
from nashpo.lm.files import load
from nashpo.lm.filters import Decoding
from nashpo.lm.judges import Reward
from nashpo.lm.learner import Generated
from nashpo.lm.model import LanguageModel
from nashpo.lm.oracle import TextOracle
from nashpo.lm.text import Text
from nashpo.mirror import Mirror
from nashpo.stage import Stage, UpdateRule, against, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule

BETA, RATE = 0.1, 1e-6


@record
class OnlineDPO(UpdateRule):
    """DPO anchored at the reference on labelled pairs of the policy (Guo et al. 2024, arXiv:2402.04792)."""

    eta: Schedule
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """The one fit."""
        eta = step_size(self.eta, beta, step)
        return (Stage({"reference": 1.0}, against("now"), eta, target="bradley_terry"),)


def stepper(folder: Path, prompts: list[list[int]], sizes: dict[str, int], what: str) -> Callable[[], float]:
    """A function that takes one more step and says how many CPU-seconds it took.

    Nash-MD: one completion of the policy and one of the mixture with weight 1/2 to each prompt, the score-function
    gradient with the KL divergence of whole completions. Online DPO: two completions of the policy, the logistic loss.
    All weights are trained by AdamW; `"nash_md, LoRA"` trains an adapter of rank 16 instead.
    """
    text = Text.load(folder / "policy")
    decoding = Decoding(new_tokens=sizes["new"], end=text.end)
    model = LanguageModel.from_checkpoint(load(folder / "policy"), np.array(prompts, np.int32), decoding, remat=False)
    oracle: Any = TextOracle(Reward.load(folder / "reward"), [text.decode(row[1:]) for row in prompts], text)
    start, reference = model, model
    if what.endswith("LoRA"):
        start = model.with_adapter(LoRA(rank=16, alpha=32.0), jax.random.key(0))
        reference = start.with_params({})
    game = nashpo.Game.from_oracle(oracle, beta=BETA, reference=reference, prompts=np.ones(len(prompts)))
    if what.startswith("nash_md"):
        rule: UpdateRule = nashpo.solvers.NashMD(eta=1.0, mix=0.5)
        learner = Generated(RATE, loss=PolicyGradient(), optimizer=optax.adamw, prompts=sizes["batch"], responses=1)
    else:
        rule = OnlineDPO(eta=1 / BETA)
        learner = Generated(RATE, loss=DPO(), optimizer=optax.adamw, prompts=sizes["batch"], responses=2)
    solver = Mirror(rule, learner)
    solver.check(game, bound=0.5)
    state: Any = solver.init(game, start)
    keys = iter(jax.random.split(jax.random.key(1), 10_000))

    def step() -> float:
        nonlocal state
        key = next(keys)
        begin = time.process_time()
        state, _ = solver.step(game, state, key)
        last: Any = solver.last(state)
        jax.block_until_ready(last.params)
        return time.process_time() - begin

    for _ in range(3):  # the first step compiles, and the second, where policy and reference have become two
        step()
    return step
