"""Tokenizers made on the spot, for tests and examples that download nothing."""

import os
from collections.abc import Iterable
from pathlib import Path

from nashpo.lm.text import Text, quietly

SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<system>", "<user>", "<assistant>")
"""Tokens of every tiny tokenizer, the first ones of its vocabulary."""

TEMPLATE = (
    "<s>{% for message in messages %}{{ '<' + message['role'] + '> ' + message['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant> ' }}{% endif %}"
)
"""`<s><user> words</s><assistant> words</s>`; like those of large models, it writes the first token itself."""


def tiny_tokenizer(
    words: Iterable[str], folder: str | os.PathLike[str] | None = None, template: str | None = TEMPLATE
) -> Text:
    """A tokenizer with one token per word, in `folder`, where there is one, as transformers saves its own.

    Words are separated by blanks; what is not among `words` becomes `<unk>`. Plain text begins with `<s>`, answers end
    with `</s>`. `template` is the chat template; None: there is none.

    Raises `ValueError` for a word that is repeated, empty, has blanks in it or is one of `SPECIAL`.

    >>> text = tiny_tokenizer(["red", "green", "blue"])
    >>> text.encode("red blue"), text.end, text.vocabulary
    ([2, 7, 9], (3,), 10)
    >>> text.encode([{"role": "user", "content": "green"}])
    [2, 5, 8, 3, 6]
    """
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

    vocabulary = [*SPECIAL, *words]
    for place, word in enumerate(vocabulary[len(SPECIAL) :]):
        if word in vocabulary[: len(SPECIAL) + place] or word.split() != [word]:
            raise ValueError(f"words[{place}] is {word!r}: words are different from each other and have no blanks.")
    model = models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    start = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 2)])
    tokenizer.post_processor = start  # type: ignore[assignment]
    with quietly():
        from transformers import PreTrainedTokenizerFast
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    if template is not None:
        fast.chat_template = template
    if folder is None:
        return Text(fast, (SPECIAL.index("</s>"),))
    Path(folder).mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    return Text.load(folder)
