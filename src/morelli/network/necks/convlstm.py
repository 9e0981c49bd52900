"""A convolutional LSTM along the rows of a feature map."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RowConvLSTM(nn.Module):
    """Reads the rows of a map (B, C, h, w) from top to bottom and gives its state at every cell (B, W, h, w).

    The state is a row of W channels; what enters a cell of it comes from three neighbouring cells of the row
    above and of the input. Source: the convolutional LSTM of Shi et al., "Convolutional LSTM network: a machine
    learning approach for precipitation nowcasting", NeurIPS 2015, over the rows of one image as the Row LSTM of
    van den Oord et al., "Pixel recurrent neural networks", ICML 2016.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.enter = nn.Conv2d(channels, 4 * width, (1, 3), padding=(0, 1))
        self.carry = nn.Conv1d(width, 4 * width, 3, padding=1, bias=False)
        for gate in self.carry.weight.data.split(width):
            nn.init.orthogonal_(gate[:, :, 1])
            gate[:, :, ::2].mul_(0.1)
        assert self.enter.bias is not None
        self.enter.bias.data[width : 2 * width] = (
            1.0  # the forget gate open at first (Jozefowicz et al., 2015)
        )

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B W h w"]:
        entering = self.enter(features)
        batch, _, _, columns = entering.shape
        hidden = entering.new_zeros(batch, self.width, columns)
        cell = hidden.float()  # summed over many rows: half precision would lose it
        states = []
        for row in entering.unbind(2):
            gates = (row + self.carry(hidden)).float()
            put, forget, new, out = gates.chunk(4, dim=1)
            cell = forget.sigmoid() * cell + put.sigmoid() * new.tanh()
            hidden = (out.sigmoid() * cell.tanh()).to(entering.dtype)
            states.append(hidden)
        return torch.stack(states, dim=2)
