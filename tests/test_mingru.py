"""The minGRU gives what a loop over the tokens gives, whatever their number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from morelli.network.necks.mingru import MinGRU, linear_recurrence


def stepped(kept: np.ndarray, new: np.ndarray) -> np.ndarray:
    """One token after another."""
    state, states = np.zeros_like(new[:, 0]), []
    for token in range(new.shape[1]):
        state = kept[:, token] * state + new[:, token]
        states.append(state)
    return np.stack(states, axis=1)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 49, 196])
def test_the_scan_is_the_loop(length: int) -> None:
    rng = np.random.default_rng(length)
    kept, new = rng.random((2, length, 3)), rng.normal(size=(2, length, 3))
    found = linear_recurrence(torch.from_numpy(kept), torch.from_numpy(new))
    np.testing.assert_allclose(found, stepped(kept, new), atol=1e-12)


def test_a_constant_gate_is_an_exponential_filter() -> None:
    new = np.random.default_rng(0).normal(size=(1, 100, 1))
    found = linear_recurrence(torch.full((1, 100, 1), 0.9, dtype=torch.float64), torch.from_numpy(new))
    np.testing.assert_allclose(found[0, :, 0], lfilter([1], [1, -0.9], new[0, :, 0]), atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_and_directions_are_those_of_the_formula(bidirectional: bool) -> None:
    torch.manual_seed(0)
    made = MinGRU(5, 4, layers=2, bidirectional=bidirectional).double()
    tokens = torch.randn(2, 9, 5, dtype=torch.float64)
    states, wanted = made(tokens)[0], tokens.numpy()
    for layer in made.layers:
        weights, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        gates, candidates = np.split(wanted @ weights.T + bias, 2, axis=-1)
        gates = 1 / (1 + np.exp(-gates))
        ways = [slice(0, 4), slice(4, 8)] if bidirectional else [slice(0, 4)]
        parts = []
        for number, way in enumerate(ways):
            kept, new = 1 - gates[..., way], gates[..., way] * candidates[..., way]
            if number:
                kept, new = kept[:, ::-1], new[:, ::-1]
            read = stepped(kept, new)
            parts.append(read[:, ::-1] if number else read)
        wanted = np.concatenate(parts, axis=-1)
    np.testing.assert_allclose(states.detach(), wanted, atol=1e-6)  # gates are rounded to float32


def test_gates_remember_one_to_sixty_four_tokens_at_first() -> None:
    torch.manual_seed(0)
    gates = MinGRU(5, 4000).layers[0].bias.detach()[:4000].sigmoid()
    spans = 1 / gates  # tokens until what was kept has fallen to 1/e, nearly
    assert spans.min() >= 2 - 1e-3 and spans.max() <= 65 + 1e-3
    assert float(spans.mean()) == pytest.approx(1 + 65 / 2, rel=0.05)
