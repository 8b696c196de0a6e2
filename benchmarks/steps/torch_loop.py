"""PyTorch's plain loop with fused Adam; with the word `compile`, the model passed through torch.compile."""

import sys
from collections.abc import Callable
from itertools import pairwise

import torch
from problem import order_of, rows_of, time_runs

compiled = "compile" in sys.argv[1:]


def make(problem: dict) -> Callable[[], float]:
    features, labels = map(torch.from_numpy, rows_of(problem))
    order = order_of(problem)
    batches = None if order is None else torch.from_numpy(order).long()
    sizes = [9, *problem["hidden"]]
    layers = [m for a, b in pairwise(sizes) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    forward = torch.compile(model) if compiled else model

    def run() -> float:
        loss = torch.zeros(())
        for step in range(problem["steps"]):
            x, y = (features, labels) if batches is None else (features[batches[step]], labels[batches[step]])
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.mse_loss(forward(x), y)
            loss.backward()
            optimizer.step()
        return float(loss)

    return run


how = "torch.compile" if compiled else "eager"
time_runs(f"PyTorch {torch.__version__}, fused Adam, {how}, {torch.get_num_threads()} threads", make)
