"""Active learning: the value of a label is the expected length of the gradient that it would give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morelli.evaluation.active_learning import labelling_value


def expected_gradient_by_autograd(logits: torch.Tensor) -> float:
    """Over every label a work might have, weighted by its probability: the length of the loss's gradient."""
    probabilities = logits.softmax(dim=0)
    total = 0.0
    for label in range(len(logits)):
        scores = logits.clone().requires_grad_()
        torch.nn.functional.cross_entropy(scores[None], torch.tensor([label])).backward()
        assert scores.grad is not None
        total += probabilities[label].item() * scores.grad.norm().item()
    return total


@pytest.mark.parametrize("classes", [2, 5, 27])
def test_the_value_is_the_expected_gradient_relative_to_total_doubt(classes: int) -> None:
    logits = torch.randn(40, classes, generator=torch.Generator().manual_seed(classes)) * 3
    doubt = expected_gradient_by_autograd(torch.zeros(classes))
    wanted = [expected_gradient_by_autograd(row) / doubt for row in logits]
    given = labelling_value({"style": logits.softmax(dim=1).numpy()})
    assert given == pytest.approx(np.clip(wanted, 0, 1), abs=1e-5)


def test_certainty_teaches_nothing_and_total_doubt_most() -> None:
    value = labelling_value({"style": np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])})
    assert value[0] == 0 and value[1] == 1 and 0 < value[2] < 1


def test_tasks_count_alike() -> None:
    style, genre = np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.5, 0.5], [0.5, 0.5]])
    assert labelling_value({"style": style, "genre": genre}).tolist() == [0.5, 1.0]
