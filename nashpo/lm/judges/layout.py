"""How texts are laid out for a judge that is a language model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from nashpo.lm.files.checkpoint import check_files, load
from nashpo.lm.text import Prompt, Text

Begin = Literal["template", "removed", "added"]
End = Literal["kept", "replaced", "added"]
_PLACES = re.compile(r"\{(prompt|left|right)\}")


@dataclass(frozen=True)
class Layout:
    """What a judge's text begins and ends with, and whether it is a conversation.

    A conversation goes through the chat template of the judge's tokenizer; a plain prompt and its answer are one
    text, with the special tokens of the tokenizer, unless `chat` makes a conversation of one message of it. Published
    models were trained with different habits, so take theirs.

    Raises `ValueError` for another word.

    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> text = tiny_tokenizer(["red", "green"])
    >>> Layout().answered(text, "red", " green")
    ([2, 7, 8], 1)
    >>> Layout(chat=True, begin="removed", end="replaced").answered(text, "red", "green")
    ([5, 7, 3, 6, 8, 3], 2)
    """

    chat: bool = False
    """A plain prompt is the user's message."""
    begin: Begin = "template"
    """Of conversations: what the template writes; without its first token (`removed`); after those of the tokenizer
    (`added`), so that some come twice."""
    end: End = "kept"
    """The last token as it is; `replaced` by the tokenizer's end token; or that one `added` where it is not."""

    def __post_init__(self) -> None:
        for name, choice in (("begin", Begin), ("end", End)):
            if getattr(self, name) not in get_args(choice):
                raise ValueError(f"{name}={getattr(self, name)!r}: choose from {', '.join(get_args(choice))}.")

    def answered(self, text: Text, prompt: Prompt, answer: str) -> tuple[list[int], int]:
        """The tokens of a prompt with its answer, and the place of the prompt's last token among them."""
        messages = self._messages(prompt)
        if isinstance(messages, str):
            tokens, before = text.tokens(messages + answer, special=True), text.tokens(messages, special=True)
        else:
            whole = [*messages, {"role": "assistant", "content": answer}]
            tokens, before = (self._rendered(text, part, False) for part in (whole, messages))
        tokens = self._closed(text, tokens)
        return tokens, max(0, min(len(before), len(tokens)) - 1)

    def asked(self, text: Text, question: str, answering: bool) -> list[int]:
        """The tokens of a question; with `answering` up to where the judge's answer begins."""
        messages = self._messages(question)
        if isinstance(messages, str):
            return self._closed(text, text.tokens(messages, special=True))
        return self._closed(text, self._rendered(text, messages, answering))

    def _messages(self, prompt: Prompt) -> Prompt:
        return [{"role": "user", "content": prompt}] if isinstance(prompt, str) and self.chat else prompt

    def _rendered(self, text: Text, messages: Prompt, answering: bool) -> list[int]:
        assert not isinstance(messages, str)
        written = text.render(messages, answering)
        start = text.tokenizer.bos_token
        if self.begin == "removed" and start:
            written = written.removeprefix(start)
        return text.tokens(written, special=self.begin == "added")

    def _closed(self, text: Text, tokens: list[int]) -> list[int]:
        """`tokens` with the end that is wanted."""
        if self.end == "kept":
            return tokens
        end = text.tokenizer.eos_token_id
        if end is None:
            raise ValueError(f"end={self.end!r}: the tokenizer has no end token; write end='kept'.")
        return [*(tokens[:-1] if self.end == "replaced" or tokens[-1:] == [end] else tokens), end]


class OneAnswer:
    """A judge that is a language model and reads one answer at a time.

    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> OneAnswer.least(tiny_tokenizer(["red"]), "red", {})
    2
    """

    usual: ClassVar[Layout] = Layout()
    answers: ClassVar[int] = 1
    read, look = staticmethod(load), staticmethod(check_files)

    @classmethod
    def least(cls, text: Text, prompt: Prompt, settings: Mapping[str, Any]) -> int:
        """Tokens of a prompt with an empty answer, laid out by a judge with these settings."""
        layout: Layout = settings.get("layout") or cls.usual
        return len(layout.answered(text, prompt, "")[0])


def filled(template: str, prompt: Prompt, left: str, right: str, turn: str | None = None) -> str:
    """`template` with the texts in the places `{prompt}`, `{left}` and `{right}`.

    >>> filled("{prompt} A: {left} B: {right}", "red?", "{right}", "no")
    'red? A: {right} B: no'
    """
    texts = {"prompt": transcript(prompt, turn), "left": left, "right": right}
    return _PLACES.sub(lambda place: texts[place[1]], template)


def transcript(prompt: Prompt, turn: str | None = None) -> str:
    r"""A prompt as one text: each message as `turn` writes it, with its `{role}` and `{content}`.

    None: a conversation of a single message is its content, a longer one has lines `role: content`.

    >>> talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    >>> transcript(talk[:1]), transcript(talk)
    ('Hi.', 'user: Hi.\nassistant: Hello.')
    >>> transcript(talk, "<{role}>{content}")
    '<user>Hi.<assistant>Hello.'
    """
    if isinstance(prompt, str):
        return prompt if turn is None else _written(turn, {"role": "user", "content": prompt})
    if turn is not None:
        return "".join(_written(turn, message) for message in prompt)
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def check_template(template: str) -> str:
    """`template` if it has every place once.

    Raises `ValueError` naming the place that is missing or repeated.
    """
    places = _PLACES.findall(template)
    for place in ("prompt", "left", "right"):
        if places.count(place) != 1:
            raise ValueError(f"the template has {{{place}}} {places.count(place)} times: it needs each place once.")
    return template


def _written(turn: str, message: Mapping[str, str]) -> str:
    return re.sub(r"\{(role|content)\}", lambda place: str(message[place[1]]), turn)
