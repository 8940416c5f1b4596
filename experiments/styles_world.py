"""A small language model of three styles, trained from scratch, and the judge who compares them."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import nashpo
from nashpo.lm.decoder import Decoder, LoRA, init_params
from nashpo.lm.files import load, save
from nashpo.lm.filters import Decoding
from nashpo.lm.generate import Parts
from nashpo.lm.judges import Function
from nashpo.lm.logprobs import completion_log_probs
from nashpo.lm.model import LanguageModel
from nashpo.lm.oracle import TextOracle
from nashpo.lm.prompts import Prompts
from nashpo.lm.text import Text
from nashpo.lm.tiny import SPECIAL, tiny_tokenizer

TOPICS = ["river", "forest", "bridge", "garden", "mountain", "harbour", "meadow", "road"]
TOPICS += ["lake", "valley", "island", "wall", "canal", "coast", "field", "path"]
"""Half of them are trained on."""
LOOKS, IMAGES = ["calm", "bright", "old", "narrow", "wild", "green"], ["silk", "moonlight", "music"]
NUMBERS, UNITS = ["two", "four", "seven", "nine", "twelve", "thirty"], ["miles", "metres", "acres"]
STYLES = ("terse", "flowery", "precise")
FREQUENCY = (0.6, 0.3, 0.1)
"""Of the styles in the texts that the model learns from."""
POLITE, OTHER = 1 / 3, 2 * len(STYLES)
BETA, TASTE = 0.05, 0.5
ADAPTER = LoRA(rank=8, alpha=8.0)
LENGTH = 8
"""Tokens of the longest answer, its end among them."""


def sentences(topic: str) -> list[tuple[str, int]]:
    """Every answer to a topic, with its kind: twice the number of its style, and one more after "certainly"."""
    terse = [f"{look} {topic}" for look in LOOKS]
    flowery = [f"oh {one} {topic} {two} as {thing}" for one, two, thing in itertools.product(LOOKS, LOOKS, IMAGES)]
    precise = [f"{n} {unit} of {look} {topic}" for n, unit, look in itertools.product(NUMBERS, UNITS, LOOKS)]
    plain = [(text, 2 * style) for style, texts in enumerate((terse, flowery, precise)) for text in texts]
    return plain + [(f"certainly {text}", kind + 1) for text, kind in plain]


@functools.cache
def kinds(topic: str) -> dict[str, int]:
    """The kind of each answer to a topic."""
    return dict(sentences(topic))


@functools.cache
def odds() -> np.ndarray:
    """Win probabilities `[7, 7]` of the kinds: styles and manners, and last everything else."""
    wins = np.log(np.array([[1.0, 9.0, 1 / 19], [1 / 9, 1.0, 4.0], [19.0, 1 / 4, 1.0]]))
    style, polite = np.arange(OTHER) // 2, np.arange(OTHER) % 2
    scores = np.zeros((OTHER + 1, OTHER + 1))
    scores[:OTHER, :OTHER] = wins[style[:, None], style] - TASTE * (polite[:, None] - polite)
    scores[:OTHER, OTHER], scores[OTHER, :OTHER] = 3.0, -3.0
    return 1 / (1 + np.exp(-scores))


def verdicts(prompts: Sequence[Any], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
    """The judge: how likely each left answer is preferred to the right one."""
    topics = [prompt.split()[-1] for prompt in prompts]
    first, second = (
        [kinds(topic).get(text, OTHER) for topic, text in zip(topics, side, strict=True)] for side in (left, right)
    )
    return odds()[first, second]


@dataclasses.dataclass(frozen=True)
class World:
    """The model, the game on samples, and the same game with its answers listed."""

    game: nashpo.Game
    start: LanguageModel
    listed: nashpo.Game
    """On the topics that are not trained on."""
    rows: np.ndarray
    answers: np.ndarray
    """int32 `[X, 444, T]`, for those topics."""
    kinds: np.ndarray
    """`[444]`."""

    @property
    def reference(self) -> np.ndarray:
        """Probabilities `[X, 445]` of the listed answers under the reference."""
        return np.exp(np.asarray(self.listed.reference.log_probs()))

    def probs(self, policy: Any) -> np.ndarray:
        """Probabilities `[X, 445]` of the listed answers, the last for everything else."""
        log = np.asarray(policy.at(self.rows).log_prob(np.arange(len(self.rows)), self.answers), np.float64)
        known = np.exp(log)
        rest = np.maximum(1 - known.sum(-1, keepdims=True), 1e-9)
        found = np.concatenate([known, rest], -1)
        return found / found.sum(-1, keepdims=True)

    def shares(self, probs: np.ndarray) -> np.ndarray:
        """Probabilities `[4]` of the styles and of everything else, means over topics."""
        each = [probs[:, :-1][:, self.kinds // 2 == style].sum(-1) for style in range(len(STYLES))]
        return np.array([*np.mean(each, -1), probs[:, -1].mean()])


def pretrained(folder: Path, steps: int) -> tuple[Path, float]:
    """A model of the grammar in a Hugging Face directory, and the nats a text that it lost last."""
    words = ["describe", "the", "oh", "as", "of", "certainly", *TOPICS, *LOOKS, *IMAGES, *NUMBERS, *UNITS]
    decoder = Decoder(
        "llama", vocabulary=len(SPECIAL) + len(words), width=32, layers=2, heads=2, kv_heads=1, head_dim=16, inner=64
    )
    text, rng = tiny_tokenizer(words), np.random.default_rng(0)
    listed = {topic: [np.array(text.answer(said)) for said, _ in sentences(topic)] for topic in TOPICS}
    laws = {topic: law([kind for _, kind in sentences(topic)]) for topic in TOPICS}
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps))
    params = init_params(decoder, jax.random.key(0))
    state, loss = optimizer.init(params), jnp.nan

    @jax.jit
    def update(params: Any, state: Any, contexts: Any, responses: Any) -> tuple[Any, Any, Any]:
        def lost(params: Any) -> Any:
            each = completion_log_probs(decoder, None, Parts(params), contexts, responses, remat=False)
            return -jnp.sum(each) / len(contexts)

        loss, gradient = jax.value_and_grad(lost)(params)
        changes, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, changes), state, loss

    contexts = Prompts.of([f"describe the {topic}" for topic in TOPICS]).contexts(text)
    for _ in range(steps):
        topics = rng.integers(len(TOPICS), size=64)
        chosen = [listed[TOPICS[t]][rng.choice(444, p=laws[TOPICS[t]])] for t in topics]
        params, state, loss = update(params, state, contexts[topics], padded(chosen)[:, None])
    path = save(folder, decoder, params)
    tiny_tokenizer(words, path)
    return path, float(loss)


def law(kinds: Sequence[int]) -> np.ndarray:
    """How often each answer is among the texts: its style's frequency, divided among the answers of its kind."""
    each = np.array(kinds)
    weights = np.array(FREQUENCY)[each // 2] * np.where(each % 2, POLITE, 1 - POLITE)
    return weights / np.bincount(each)[each]


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of tokens as one array `[N, T]`, -1 after the end."""
    found = np.full((len(rows), LENGTH), -1, np.int32)
    for row, tokens in zip(found, rows, strict=True):
        row[: len(tokens)] = tokens
    return found


def the_world(path: Path) -> World:
    """The game of the model in a directory."""
    text = Text.load(path)
    prompts = Prompts.of([f"describe the {topic}" for topic in TOPICS])
    model = LanguageModel.from_checkpoint(
        load(path), prompts.contexts(text), Decoding(LENGTH, end=text.end), remat=False
    )
    start = model.with_adapter(ADAPTER, jax.random.key(1))
    reference: Any = start.with_params({})
    half = len(TOPICS) // 2
    weights = np.repeat([1 / half, 0.0], half)
    oracle: Any = TextOracle(Function(verdicts, symmetrise=False), prompts.items, text)
    game = nashpo.Game(oracle, reference, BETA, weights)
    rows = np.arange(half, len(TOPICS))
    answers = np.stack([padded([np.array(text.answer(said)) for said, _ in sentences(TOPICS[row])]) for row in rows])
    kind = np.array([kind for _, kind in sentences(TOPICS[0])])
    world = World(game, start, game, rows, answers, kind)
    every = np.append(kind, OTHER)
    tables = np.broadcast_to(odds()[every[:, None], every], (half, len(every), len(every)))
    listed = nashpo.Game.from_table(tables, beta=BETA, reference=world.probs(reference))
    return dataclasses.replace(world, listed=listed)
