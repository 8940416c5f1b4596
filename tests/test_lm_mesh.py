"""Models spread over devices, and over two processes of several, are the model on one."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lm_small import make_model, make_world
from safetensors.numpy import load_file

from nashpo.lm import make_mesh

HERE = Path(__file__).parent

PROGRAM = """
import os, sys
import jax
jax.config.update("jax_enable_x64", True)
count, number, port, out, lora = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5] == "lora"
if count > 1:
    jax.distributed.initialize(f"localhost:{port}", count, number)
import numpy as np, optax
from lm_worlds import CONTEXTS, DECODER, END, SMALL, TokenOracle
from nashpo.game import Game
from nashpo.learners import Fresh
from nashpo.lm.decoder import init_params
from nashpo.lm.evaluation import Evaluation
from nashpo.lm.filters import Decoding
from nashpo.lm.host import on_host
from nashpo.lm.learner import Generated
from nashpo.lm.mesh import make_mesh, placed
from nashpo.lm.model import LanguageModel
from nashpo.lm.training import train
from nashpo.solvers import NashMD
from nashpo_games import token_majority

table = token_majority(length=2, prompts=2, beta=0.2)
weights = init_params(DECODER, jax.random.key(0), scale=0.3)
mesh = make_mesh(tensor=2) if len(jax.devices()) > 1 else None
model = LanguageModel(weights if mesh is None else placed(weights, mesh), {}, np.tile(CONTEXTS, (4, 1)), DECODER,
                      decoding=Decoding(2, end=(END,)))
start, reference = model, model
if lora:
    start = model.with_adapter(SMALL, jax.random.key(1))
    reference = start.with_params({})
oracle = TokenOracle(table.oracle, [0, 1] * 4)
game = Game(oracle, reference, 0.2, np.full(8, 1 / 8))
moves = optax.adamw if lora else optax.sgd
learner = Generated(0.01, gains=Fresh(2), prompts=8, responses=4, updates=2, optimizer=moves)
found = train(game, NashMD(0.5, mix=0.3), learner=learner, steps=3, start=start, evaluation=Evaluation(), folder=out)
whole = on_host(found.policy.params)
if mesh is not None and not lora:
    q = found.policy.params["layers"]["q"]
    assert q.sharding.spec == jax.sharding.PartitionSpec(None, "fsdp", "tensor"), q.sharding
    assert q.addressable_shards[0].data.size == q.size // len(jax.devices())
if jax.process_index() == 0:
    np.savez(out + ".npz", *jax.tree.leaves(whole), rows=np.array([list(row.values()) for row in found.metrics[1:]]))
"""


def spread(command, devices, processes):
    """Run the same command in so many processes, which share the devices; `command` is given the port and a number."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices // processes}"
    paths = os.pathsep.join([str(HERE), *sys.path])
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    started = [
        subprocess.Popen(
            [sys.executable, *command(port, str(number))],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(processes)
    ]
    said = []
    for process in started:
        said.append(process.communicate(timeout=500)[0])
        assert process.returncode == 0, said[-1][-3000:]
    return said


def run(tmp_path, name, devices, processes=1, lora="full"):
    """The parameters and the metrics of a run on so many devices of so many processes."""
    out = str(tmp_path / name)
    spread(lambda port, number: ["-c", PROGRAM, str(processes), number, port, out, lora], devices, processes)
    with np.load(out + ".npz") as found:
        return dict(found)


def test_no_device_is_no_mesh():
    with pytest.raises(ValueError, match="tensor=0 is a mesh of 0 devices"):
        make_mesh(tensor=0)


@pytest.mark.slow
@pytest.mark.parametrize(("lora", "processes"), [("full", 1), ("lora", 2)])
def test_eight_devices_are_one_device(lora, processes, tmp_path):
    """The same run but for rounding in float32, which three steps hardly enlarge."""
    one = run(tmp_path, "one", 1, lora=lora)
    eight = run(tmp_path, "eight", 8, processes, lora=lora)
    assert one.keys() == eight.keys()
    for name in one:
        np.testing.assert_allclose(eight[name], one[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_command_in_two_processes_is_the_command_in_one(tmp_path):
    """The mesh and the files are the same; a judge that lies on the mesh too, and an adapter that is written."""
    world = make_world(tmp_path)
    make_model(world / "reward", seed=2, extra={"score": np.random.default_rng(0).normal(size=(1, 16))})
    config = (world / "run.toml").read_text()
    judged = re.sub(r"\[judge\][^\[]*", '[judge]\nkind = "reward"\npath = "reward"\n\n', config)
    assert judged != config
    (world / "run.toml").write_text(judged + "\n[mesh]\nfsdp = 2\ntensor = 2\n")
    changes = ["--set", "model.lora = {rank = 2}", "--steps", "2"]
    command = ["-m", "nashpo", "lm", "train", str(world / "run.toml"), *changes, "--folder"]
    spread(lambda port, number: [*command, str(world / "one")], 4, 1)
    said = spread(
        lambda port, number: [*command, str(world / "two"), "--processes", f"localhost:{port},2,{number}"], 4, 2
    )
    assert "transformers loads" in " ".join(said[0].split()) and "step" not in said[1]
    one, two = ((world / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two"))
    assert len(one) == 3
    for mine, other in zip(one, two, strict=True):
        assert json.loads(mine) == pytest.approx(json.loads(other), rel=1e-4, abs=1e-5)
    adapters = [load_file(world / name / "export" / "adapter_model.safetensors") for name in ("one", "two")]
    assert any(np.any(values) for name, values in adapters[0].items() if "lora_B" in name)
    for name, values in adapters[0].items():
        np.testing.assert_allclose(adapters[1][name], values, rtol=1e-4, atol=1e-6)
