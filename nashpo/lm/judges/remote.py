"""Judges behind a web address."""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np

from nashpo.lm.judges.base import JudgeError, checked, digest_of, same_length
from nashpo.lm.text import Prompt

_LONGEST = 60.0
"""Seconds between two tries at most."""
_AGAIN = {408, 425, 429}
"""Answers after which it is worth to ask again, beside the server's own failures (5xx)."""


class Remote:
    """A judge that answers HTTP POST requests.

        request    {"pairs": [{"prompt": ..., "left": "...", "right": "..."}, ...], **payload}
        reply      {"probabilities": [P(left is preferred), ...]}

    Pairs are sent `batch` at a time by `workers` threads, in both orders if `symmetrise`, each order in a request of
    its own. A request that is not answered within `timeout` seconds, is refused for the moment (status 408, 425, 429,
    5xx) or answered with something that is no list of win probabilities is repeated up to `retries` times, after
    `wait`, `2 wait`, `4 wait`, ... seconds or as many as the server asks for, a minute at most. Other refusals and
    redirections are final.

    `key` names the environment variable that holds the secret sent as `Authorization: Bearer ...`; it is read at each
    request and kept nowhere. `headers` are sent as they are.

    Raises `ValueError` for an address that is not http or https, and numbers out of range.

    >>> Remote("https://judge.example/compare", key="JUDGE_KEY").name
    'https://judge.example/compare'
    >>> Remote("judge.example")
    Traceback (most recent call last):
        ...
    ValueError: url='judge.example': give an address that begins with http:// or https://.
    """

    def __init__(
        self,
        url: str,
        *,
        payload: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        symmetrise: bool = True,
        batch: int = 16,
        workers: int = 4,
        timeout: float = 60.0,
        retries: int = 4,
        wait: float = 1.0,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url={url!r}: give an address that begins with http:// or https://.")
        if batch < 1 or workers < 1 or retries < 0 or not timeout > 0 or not wait >= 0:
            raise ValueError(
                f"batch={batch}, workers={workers}, retries={retries}, timeout={timeout}, wait={wait}: batch and "
                "workers are at least 1, timeout is positive, retries and wait are not negative."
            )
        self.url, self.payload, self.headers, self.key = url, dict(payload or {}), dict(headers or {}), key
        self.symmetrise, self.batch, self.workers = symmetrise, batch, workers
        self.timeout, self.retries, self.wait = timeout, retries, wait
        host = parts.hostname + (f":{parts.port}" if parts.port else "")
        self.name = f"{parts.scheme}://{host}{parts.path}"

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] is preferred to right[i])` `[N]`.

        Raises `JudgeError` when a request is refused or its retries are used up.
        """
        same_length(prompts, left, right)
        headers = self._headers()
        orders = [(left, right), (right, left)] if self.symmetrise else [(left, right)]
        batches = [slice(start, start + self.batch) for start in range(0, len(left), self.batch)]
        work = [(prompts[rows], a[rows], b[rows], headers) for a, b in orders for rows in batches]
        if not work:
            return np.zeros(0)
        # These threads are daemons: whoever is interrupted does not wait for a server that hangs.
        with ThreadPool(min(self.workers, len(work))) as pool:
            said = np.concatenate(list(pool.imap(lambda columns: self._ask(*columns), work)))
        if not self.symmetrise:
            return said
        forward, backward = np.split(said, 2)
        return (forward + 1.0 - backward) / 2

    def identity(self) -> str:
        """The address, what is sent with every request, and whether both orders are asked; secrets as a checksum."""
        sent = json.dumps([self.payload, self.headers], sort_keys=True)
        return f"Remote {self.name} {self.symmetrise} {digest_of(self.url, sent).hex()}"

    def _headers(self) -> dict[str, str]:
        """What is sent with every request, the secret of the environment included."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self.headers}
        if self.key is not None:
            secret = os.environ.get(self.key)
            if not secret:
                raise JudgeError(f"the judge {self.name} needs a key: set the environment variable {self.key}.")
            headers["Authorization"] = f"Bearer {secret}"
        return headers

    def _ask(
        self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str], headers: dict[str, str]
    ) -> np.ndarray:
        """One batch, tried until it is answered."""
        columns = zip(prompts, left, right, strict=True)
        pairs = [{"prompt": prompt, "left": a, "right": b} for prompt, a, b in columns]
        body = json.dumps({"pairs": pairs, **self.payload}, default=dict).encode()
        reason = ""
        for attempt in range(self.retries + 1):
            pause = 0.0
            try:
                return checked(self._verdicts(_reply(self.url, body, headers, self.timeout)), prompts, self.name)
            except urllib.error.HTTPError as error:
                with error:
                    reason, pause = f"status {error.code}", _asked_pause(error)
                if error.code not in _AGAIN and error.code < 500:
                    raise JudgeError(f"the judge {self.name} refuses the request ({reason}).") from None
            except JudgeError as error:
                reason = str(error).rstrip(".")
            except (OSError, HTTPException, ValueError) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt < self.retries:
                time.sleep(min(_LONGEST, max(pause, self.wait * 2**attempt)))
        tries = f"{self.retries + 1} times" if self.retries else "once"
        raise JudgeError(f"the judge {self.name} failed {tries}; last: {reason}.")

    def _verdicts(self, reply: bytes) -> list[Any]:
        """The numbers in a reply."""
        try:
            content = json.loads(reply)
        except (ValueError, RecursionError):
            shown = reply[:40].decode(errors="replace")
            raise JudgeError(f"the judge {self.name} replies {shown!r}, which is no JSON.") from None
        found = content.get("probabilities") if isinstance(content, dict) else content
        if not isinstance(found, list):
            raise JudgeError(f'the judge {self.name} must reply {{"probabilities": [...]}}.')
        return found


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follow no redirection: prompts and keys go to the address that was given, and nowhere else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """None: the status is an error."""
        return


def _reply(url: str, body: bytes, headers: dict[str, str], timeout: float) -> bytes:
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    until, found = time.monotonic() + timeout, []
    with urllib.request.build_opener(_Stay).open(request, timeout=timeout) as reply:
        while piece := reply.read1(2**16):
            found.append(piece)
            if time.monotonic() > until:  # the socket's own limit is one of silence
                raise TimeoutError("timed out")
    return b"".join(found)


def _asked_pause(error: urllib.error.HTTPError) -> float:
    """The seconds that a server asks to wait."""
    asked = error.headers.get("Retry-After") or "" if error.headers else ""
    return float(asked) if asked.isdecimal() else 0.0
