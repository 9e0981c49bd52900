"""The reading trace is what the network would say had it read only so far; its turning points are where it changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_saliency import model, painting
from tiny import neck_settings

from morelli.evaluation.turning_points import settled, turning_points
from morelli.network.necks.neck import NECKS
from morelli.network.necks.scan import SCANS
from morelli.prediction.trace import prefix_embeddings, read_trace
from morelli.recipe import Neck

ONE_WAY = [
    Neck(kind=kind, width=6, pool=p)
    for kind in ("lstm", "gru", "mingru")
    for p in ("last", "mean", "attention")
]
TWO_WAYS = [Neck(kind="lstm", width=6, pool=p, bidirectional=True) for p in ("last", "mean", "attention")]


def features_of(made):
    return made.features(painting()[None]).clone()  # a normal tensor, not one of inference mode


def probabilities(made, vectors, task):
    scores = made.network.heads[task](vectors) / made.temperature.get(task, 1.0)
    scores = scores + torch.tensor(made.shift.get(task, 0.0))
    return scores.softmax(dim=1).detach().numpy()


def test_the_trace_of_a_unidirectional_gru_is_its_states_through_the_head():
    made = model(Neck(kind="gru", width=6, scan="snake"))
    made.temperature = {"artist": 2.5, "style": 0.4}
    features = features_of(made)
    trace = read_trace(made, features)
    order = SCANS["snake"](8, 8)
    tokens = made.network.neck.norm(features.flatten(2).transpose(1, 2)[:, order])
    hidden, states = None, []
    for token in range(64):  # one at a time, carrying the state on
        _, hidden = made.network.neck.rnn(tokens[:, token : token + 1], hidden)
        states.append(hidden[-1])
    for task in ("artist", "style"):
        np.testing.assert_allclose(
            trace.probabilities[task], probabilities(made, torch.cat(states), task), atol=1e-5
        )
    assert trace.cells[:, 0].tolist() == order.tolist()
    assert (trace.unit, trace.ordered, trace.grid) == ("token", True, (8, 8))


@pytest.mark.parametrize("neck", ONE_WAY + TWO_WAYS, ids=lambda n: f"{n.kind}-{n.pool}-{n.bidirectional}")
@pytest.mark.parametrize("tokens", ["cells", "rows"])
def test_each_step_is_the_answer_to_the_tokens_read_so_far(neck, tokens):
    made = model(neck.model_copy(update={"tokens": tokens}))
    features = features_of(made)
    read = features.flatten(2).transpose(1, 2)
    if tokens == "rows":
        read = torch.stack([features[:, :, row].transpose(1, 2).flatten(1) for row in range(8)], dim=1)
    found = prefix_embeddings(made.network.neck, features)
    assert len(found) == read.shape[1]
    for length in (1, 2, 5, read.shape[1]):
        torch.testing.assert_close(found[length - 1], made.network.neck.embed(read[:, :length])[0])


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", sorted(set(NECKS) - {"mlp"}))  # which reads no map
def test_the_last_step_is_the_answer_and_every_cell_is_read_once(kind, both):
    made = model(Neck(**neck_settings(kind, width=6, bidirectional=both)))
    made.temperature, made.shift = {"style": 3.0}, {"artist": [0.0, 0.7, -0.2]}
    features = features_of(made)
    trace = read_trace(made, features)
    answer = made.predict(painting()[None])[0]
    vectors = prefix_embeddings(made.network.neck, features)
    for task in ("artist", "style"):
        table = trace.probabilities[task]
        assert table.shape == (len(trace), len(made.vocabularies[task])) and table.dtype == np.float32
        np.testing.assert_array_equal(table[-1], answer[task][0].numpy())
        np.testing.assert_allclose(probabilities(made, vectors, task), table, atol=1e-5)
        np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
        assert np.ptp(table[:, 0]) > 1e-4, "a belief that never moves would pass any test"
    assert sorted(trace.cells.ravel().tolist()) == list(range(64))
    recurrent = kind in ("lstm", "gru", "mingru")
    assert len(trace) == (64 if recurrent else 8) and trace.unit == ("token" if recurrent else "row")
    assert trace.ordered is (kind in ("lstm", "gru", "mingru", "convlstm"))
    words = "both directions" if both else "at this point of its reading"
    assert (words if trace.ordered else f"neck ({kind}) reads the whole painting at once") in trace.meaning


def test_half_precision_ends_in_the_answer_to_the_last_bit():
    made = model(Neck(kind="lstm", width=6))
    made.precision = "bf16"
    answer = made.predict(painting()[None])[0]["artist"][0].numpy()
    np.testing.assert_array_equal(read_trace(made, features_of(made)).probabilities["artist"][-1], answer)


def test_the_convolutional_lstm_has_at_each_row_the_state_of_its_whole_reading():
    made = model(Neck(kind="convlstm", width=6))
    features = features_of(made)
    neck = made.network.neck
    states = neck.down(neck.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))[0]  # (W, h, w)
    torch.testing.assert_close(prefix_embeddings(neck, features), states.mean(dim=2).t())


def test_what_is_not_read_yet_does_not_matter():
    made = model(Neck(kind="lstm", width=6, bidirectional=True, pool="mean"))
    features = features_of(made)
    other = features.clone()
    other[:, :, 5:] = torch.rand_like(other[:, :, 5:])
    one, two = (read_trace(made, each).probabilities["style"] for each in (features, other))
    np.testing.assert_allclose(one[:40], two[:40], atol=1e-6)
    assert np.abs(one[40:] - two[40:]).max() > 1e-3


BELIEFS = np.array(
    [
        [0.6, 0.3, 0.1],
        [0.4, 0.5, 0.1],  # a turn to 1
        [0.3, 0.4, 0.3],
        [0.5, 0.2, 0.3],  # back to 0
        [0.3, 0.1, 0.6],  # to 2, and its largest rise
        [0.2, 0.1, 0.7],
    ]
)


def test_turning_points_of_a_hand_made_reading():
    points = turning_points(BELIEFS)
    assert [(p.step, p.kind, p.before, p.after, p.was, p.belief, p.held) for p in points] == [
        (1, "turn", 0, 1, 0.3, 0.5, 2),
        (3, "turn", 1, 0, 0.3, 0.5, 1),
        (4, "turn", 0, 2, 0.3, 0.6, 2),
        (4, "rise", 0, 2, 0.3, 0.6, 0),
    ]
    assert settled(BELIEFS) == 4


def test_a_belief_that_never_turns_settles_at_once_and_one_that_never_rises_has_no_point():
    falling = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    assert turning_points(falling) == [] and settled(falling) == 0
    assert turning_points(falling[:1]) == [] and settled(falling[:1]) == 0
    rising = turning_points(falling[::-1])
    assert [(p.kind, p.step, p.was, p.belief) for p in rising] == [("rise", 1, 0.7, 0.8)]
