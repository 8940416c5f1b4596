"""A language model's game whose answers can be listed, so that its exact equilibrium is known."""

import jax
import numpy as np

from nashpo.game import Game
from nashpo.lm.decoder import Decoder, LoRA, init_params
from nashpo.lm.filters import Decoding
from nashpo.lm.model import LanguageModel
from nashpo.policies import Tabular

END, CONTEXTS = 3, np.array([[-1, 3], [1, 3]], np.int32)
"""Prompts end with a token that no answer goes on after: a model of one layer cannot tell "0" from "0 0"."""
DECODER = Decoder("qwen2", vocabulary=4, width=16, layers=1, heads=2, kv_heads=1, head_dim=8, inner=32)


@jax.tree_util.register_static
class TokenOracle:
    """A judge of token sequences, asked as language models ask: -1 after the end, prompts of a batch."""

    scale, value = "probability", 0.5

    def __init__(self, oracle, rows=(0, 1)):
        self.oracle, self.rows = oracle, np.asarray(rows)

    def at(self, rows):
        return TokenOracle(self.oracle, self.rows[np.asarray(rows)])

    def compare(self, key, prompts, left, right):
        left, right = (np.where(np.asarray(side) < 0, END, np.asarray(side)) for side in (left, right))
        return np.asarray(self.oracle.compare(None, self.rows[np.asarray(prompts)], left, right))

    def finished(self, responses):
        return np.any(np.asarray(responses) == END, -1)


def listed_probs(model, answers):
    """Probabilities `[X, A]` of every answer."""
    tokens = np.asarray(answers.tokens())
    written = np.where(np.cumsum(tokens == END, -1) - (tokens == END) > 0, -1, tokens).astype(np.int32)
    each = np.broadcast_to(written, (len(CONTEXTS), *written.shape))
    log_probs = np.asarray(model.log_prob(np.arange(len(CONTEXTS)), each), np.float64)
    return np.exp(log_probs)


def world(table, lora=None, seed=0):
    """`(game, start, listed)`: a table's game as one of language models, where to start, and with their reference."""
    params = init_params(DECODER, jax.random.key(seed), scale=0.3)
    answers = table.oracle.answers
    reference = LanguageModel(params, {}, CONTEXTS, DECODER, decoding=Decoding(answers.length, end=(END,)))
    start = reference
    if lora is not None:
        start = reference.with_adapter(lora, jax.random.key(seed + 1))
        reference = start.with_params({})
    game = Game(TokenOracle(table.oracle), reference, table.beta, np.full(2, 0.5))
    listed = Game(table.oracle.oracle, Tabular.from_probs(listed_probs(reference, answers)), table.beta, table.prompts)
    return game, start, listed


SMALL = LoRA(rank=4, alpha=8)
