"""EGPO on a network in PyTorch, as the authors' simulations do it: the peer of the networks' benchmark."""

import importlib
from typing import Any

import numpy as np

from nashpo.policies import Neural


def extragradient(table: np.ndarray, start: Neural, beta: float, rate: float, updates: int, gaps: bool) -> np.ndarray:
    """Gaps `[updates, games]` of an extragradient run from `start`, or nothing but the run.

    Autograd through the squared differences of all pairs; the half step is undone by a step along the negated gradient.
    The gap is the difference of two values against best responses.
    """
    torch = importlib.import_module("torch")
    P = torch.tensor(table)
    network, reference = _network(torch, start), _network(torch, start)
    optimizer = torch.optim.SGD(network.parameters(), rate)
    rows: list[np.ndarray] = []

    def descend(gains: Any) -> None:
        ratio = torch.log_softmax(network(), -1) - torch.log_softmax(reference(), -1) - gains / beta
        loss = torch.sum((ratio[:, :, None] - ratio[:, None, :]) ** 2) / P.shape[-1] ** 2
        loss.backward()

    def gains() -> Any:
        return (P @ torch.softmax(network(), -1).detach()[..., None])[..., 0]

    for _ in range(updates):
        optimizer.zero_grad()
        descend(gains())
        kept = [parameter.grad.clone() for parameter in network.parameters()]
        optimizer.step()
        ahead = gains()
        for parameter, gradient in zip(network.parameters(), kept, strict=True):
            parameter.grad = -gradient
        optimizer.step()
        optimizer.zero_grad()
        descend(ahead)
        optimizer.step()
        if gaps:
            rows.append(_gap(torch, P, beta, network, reference))
    return np.stack(rows) if gaps else np.zeros((0, len(table)))


def _gap(torch: Any, P: Any, beta: float, network: Any, reference: Any) -> np.ndarray:
    with torch.no_grad():
        log_ref = torch.log_softmax(reference(), -1)
        log_pi = torch.log_softmax(network(), -1)
        pi = log_pi.exp()
        log_best = torch.log_softmax(log_ref + (P @ pi[..., None])[..., 0] / beta, -1)

        def value(left: Any, right: Any) -> Any:
            won = torch.sum(left.exp() * (P @ right.exp()[..., None])[..., 0], -1)
            penalties = [torch.sum(side.exp() * (side - log_ref), -1) for side in (left, right)]
            return won - beta * penalties[0] + beta * penalties[1]

        return (value(log_best, log_pi) - value(log_pi, log_best)).numpy()


def _network(torch: Any, start: Neural) -> Any:
    """A torch module with the weights of a `SharedNetwork`."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            params = start.params
            layers = [params["layers"][index] for index in sorted(params["layers"])] + [params["output"]]
            self.inputs = torch.nn.Parameter(torch.tensor(np.asarray(params["inputs"])))
            self.layers = torch.nn.ModuleList([torch.nn.Linear(*np.shape(layer["kernel"])) for layer in layers])
            for layer, weights in zip(self.layers, layers, strict=True):
                layer.weight.data = torch.tensor(np.asarray(weights["kernel"]).T.copy())
                layer.bias.data = torch.tensor(np.asarray(weights["bias"]))

        def forward(self) -> Any:
            x = self.inputs
            for layer in self.layers[:-1]:
                x = torch.relu(layer(x))
            return self.layers[-1](x)

    return Network()
