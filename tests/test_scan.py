"""Scans: hand-worked orders on a 2 × 3 grid, and the properties every order must have."""

from __future__ import annotations

import pytest
import torch

from morelli.network.necks.scan import SCANS, scan

# cells of the 2 × 3 grid:  0 1 2
#                           3 4 5
WORKED = {
    "row": [0, 1, 2, 3, 4, 5],
    "row-reverse": [5, 4, 3, 2, 1, 0],
    "column": [0, 3, 1, 4, 2, 5],
    "column-reverse": [5, 2, 4, 1, 3, 0],
    "snake": [0, 1, 2, 5, 4, 3],
    "snake-reverse": [3, 4, 5, 2, 1, 0],
}
GRIDS = [(1, 1), (1, 6), (6, 1), (2, 3), (5, 3), (7, 4), (14, 14)]


def test_every_scan_the_recipe_allows_is_worked_by_hand():
    from typing import get_args

    from morelli.recipe import Scan

    assert set(SCANS) == set(WORKED) == set(get_args(Scan))


@pytest.mark.parametrize("name", WORKED)
def test_a_scan_reads_a_two_by_three_grid_in_the_order_worked_by_hand(name):
    assert SCANS[name](2, 3).tolist() == WORKED[name]


@pytest.mark.parametrize("name", WORKED)
@pytest.mark.parametrize("grid", GRIDS)
def test_a_scan_visits_every_cell_once(name, grid):
    order = SCANS[name](*grid)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(grid[0] * grid[1]))


@pytest.mark.parametrize("name", ["row", "column", "snake"])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_reverse_scan_is_its_partner_backwards(name, grid):
    assert SCANS[f"{name}-reverse"](*grid).tolist() == SCANS[name](*grid).tolist()[::-1]


@pytest.mark.parametrize("grid", GRIDS)
def test_the_snake_only_ever_steps_to_a_neighbour(grid):
    rows, columns = SCANS["snake"](*grid) // grid[1], SCANS["snake"](*grid) % grid[1]
    steps = rows.diff().abs() + columns.diff().abs()
    assert steps.tolist() == [1] * (grid[0] * grid[1] - 1)


@pytest.mark.parametrize("name", WORKED)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tokens_are_the_cells_of_the_map_in_scan_order(name, layout):
    features = torch.randn(2, 4, 5, 3).contiguous(memory_format=layout)
    tokens = scan(features, name)
    for token, cell in enumerate(SCANS[name](5, 3).tolist()):
        assert torch.equal(tokens[:, token], features[:, :, cell // 3, cell % 3])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_row_scan_copies_nothing(layout):
    features = torch.randn(2, 4, 5, 3).contiguous(memory_format=layout)
    assert scan(features, "row").data_ptr() == features.data_ptr()
