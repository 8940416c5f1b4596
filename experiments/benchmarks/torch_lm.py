"""PyTorch, transformers and TRL on one tiny language model: the peer of lm.py, in a process of its own.

    python experiments/benchmarks/torch_lm.py FOLDER

FOLDER holds a tokenizer in `policy`. The weights of a policy and of a reward model are drawn and saved beside it; then
every line of standard input, a JSON object {"what": ..., "times": ...}, is answered with one line: CPU-seconds of the
process, or a figure.
"""

import importlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRL_EXPERIMENTAL_SILENCE="1")
warnings.simplefilter("ignore")

import transformers  # noqa: E402  after the settings that are read on import
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification  # noqa: E402  as above

datasets, torch, trl, nash_md, online_dpo = (
    importlib.import_module(name)
    for name in (
        "datasets",
        "torch",
        "trl",
        "trl.experimental.nash_md.nash_md_trainer",
        "trl.experimental.online_dpo.online_dpo_trainer",
    )
)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


class Clock(transformers.TrainerCallback):
    """The CPU-seconds of every step of a trainer, from its batch to the new weights."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Before the batch is generated."""
        self.begin = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """After the optimizer."""
        self.seconds.append(time.process_time() - self.begin)


class Peer:
    """Models in a folder and what is measured with them; `sizes` are those of lm.py."""

    def __init__(self, folder: Path, sizes: dict[str, int]) -> None:
        torch.set_num_threads(1)
        self.folder, self.sizes = folder, sizes
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "policy", padding_side="left")
        rng = torch.Generator().manual_seed(0)
        shape = (64, sizes["prompt"])
        self.prompts = torch.randint(7, sizes["vocabulary"], shape, generator=rng)
        self.prompts[:, 0] = self.tokenizer.bos_token_id
        self.texts = [self.tokenizer.decode(row[1:]) for row in self.prompts]
        torch.manual_seed(0)
        Qwen2ForCausalLM(self.config(sizes["layers"], sizes["width"])).save_pretrained(folder / "policy")
        config = self.config(2, 64, num_labels=1)
        Qwen2ForSequenceClassification(config).eval().save_pretrained(folder / "reward")
        self.trainers: dict[str, tuple[Any, Clock]] = {}

    def config(self, layers: int, width: int, tied: bool = True, **more: Any) -> Qwen2Config:
        """Heads of 64, two of them to a key."""
        heads = max(1, width // 64)
        names = {"pad_token_id": self.tokenizer.pad_token_id, "eos_token_id": self.tokenizer.eos_token_id}
        return Qwen2Config(
            vocab_size=self.sizes["vocabulary"],
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=max(1, heads // 2),
            intermediate_size=11 * width // 4,
            max_position_embeddings=1024,
            tie_word_embeddings=tied,
            **names,
            **more,
        )

    def generate(self, times: int) -> list[float]:
        """CPU-seconds of `generate` with its cache, a batch of prompts, after one that is not counted."""
        if not hasattr(self, "generator"):
            self.generator = Qwen2ForCausalLM.from_pretrained(self.folder / "policy").eval()
        batch, new = self.prompts[: self.sizes["batch"]], self.sizes["new"]
        settings = transformers.GenerationConfig(do_sample=True, top_k=0, max_new_tokens=new, pad_token_id=0)
        self.generator.generation_config = settings
        seconds = []
        for _ in range(times + 1):
            begin = time.process_time()
            with torch.inference_mode():
                said = self.generator.generate(batch, attention_mask=torch.ones_like(batch), generation_config=settings)
            seconds.append(time.process_time() - begin)
            assert said.shape[1] == batch.shape[1] + new
        return seconds[1:]

    def train(self, what: str, times: int) -> list[float]:
        """CPU-seconds of steps of a trainer after one that is not counted."""
        if what not in self.trainers:
            self.trainers[what] = self._trainer(what)
        trainer, clock = self.trainers[what]
        clock.seconds.clear()
        trainer.args.max_steps = times + 1
        trainer.train()
        return clock.seconds[1:]

    def _trainer(self, what: str) -> tuple[Any, Clock]:
        nash = what != "online_dpo"
        config = nash_md.NashMDConfig if nash else online_dpo.OnlineDPOConfig
        trainer = nash_md.NashMDTrainer if nash else online_dpo.OnlineDPOTrainer
        more = {"mixture_coef": [0.5]} if nash else {}
        args = config(
            output_dir=str(self.folder / what),
            per_device_train_batch_size=self.sizes["batch"],
            max_new_tokens=self.sizes["new"],
            generation_kwargs={"use_cache": what != "nash_md, no cache"},
            learning_rate=1e-6,
            temperature=1.0,
            beta=[0.1],
            max_steps=1,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            **more,
        )
        clock = Clock()
        model = Qwen2ForCausalLM.from_pretrained(self.folder / "policy")
        judge = Qwen2ForSequenceClassification.from_pretrained(self.folder / "reward")
        made = trainer(
            model=model,
            reward_funcs=judge,
            args=args,
            train_dataset=datasets.Dataset.from_dict({"prompt": self.texts}),
            processing_class=self.tokenizer,
            callbacks=[clock],
            **({} if nash else {"reward_processing_classes": self.tokenizer}),
        )
        made.remove_callback(transformers.PrinterCallback)
        return made, clock

    def mixture(self, use_cache: bool) -> float:
        """The share of greedy tokens of TRL's mixture of two policies that are those of the mixture itself."""
        torch.manual_seed(1)
        config = self.config(self.sizes["layers"], self.sizes["width"], tied=False)
        first, second = Qwen2ForCausalLM(config).eval(), Qwen2ForCausalLM(config).eval()
        for weights in [*first.parameters(), *second.parameters()]:
            weights.requires_grad_(False).mul_(4.0 if weights.ndim > 1 else 1.0)
        settings = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=16, min_new_tokens=16, use_cache=use_cache, pad_token_id=0, eos_token_id=3
        )
        mixed = nash_md.GeometricMixtureWrapper(first, second, settings, 0.5, device=torch.device("cpu"))
        batch = self.prompts[:8]
        with torch.no_grad():
            said = mixed.generate(input_ids=batch, attention_mask=torch.ones_like(batch), generation_config=settings)
            scores = 0.5 * first(said).logits + 0.5 * second(said).logits
        scores[..., 3] = -torch.inf
        width = batch.shape[1]
        return float((scores[:, width - 1 : -1].argmax(-1) == said[:, width:]).float().mean())


def main(folder: Path) -> None:
    """Answer requests until there are no more."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = Peer(folder, json.loads(sys.stdin.readline()))

    def reply(answer: Any) -> None:
        print(json.dumps(answer), file=out, flush=True)

    versions = {module.__name__: module.__version__ for module in (torch, transformers, trl)}
    reply({"prompts": peer.prompts.tolist(), "versions": versions})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked["what"] == "generate":
                reply({"seconds": peer.generate(asked["times"])})
            elif asked["what"] == "mixture":
                reply({"right": [peer.mixture(use_cache) for use_cache in (True, False)]})
            else:
                reply({"seconds": peer.train(asked["what"], asked["times"])})
        except Exception as error:  # a peer's failure is a result
            reply({"failed": f"{type(error).__name__} {error}"[:200]})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
