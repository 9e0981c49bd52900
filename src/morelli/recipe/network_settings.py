"""What a recipe may say of the network: image, backbones, features, neck and heads."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Task = Literal["artist", "style", "genre"]
Rate = Annotated[float, Field(ge=0, lt=1)]
Colour = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(gt=0, le=1)]
TASKS: tuple[Task, ...] = get_args(Task)
Scan = Literal["row", "row-reverse", "column", "column-reverse", "snake", "snake-reverse"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(Strict):
    """What the network sees of a painting: ``size`` in pixels, how a rectangle becomes a square, and the mean
    and deviation that normalise a channel (0–1), both or neither, where they are not those of the backbone."""

    size: int = Field(224, ge=16, le=2048)
    fit: Literal["squash", "crop", "pad"] = "squash"
    mean: tuple[Colour, Colour, Colour] | None = None
    std: tuple[Deviation, Deviation, Deviation] | None = None


class Backbone(Strict):
    """Any timm model, cut after ``stage`` (timm's feature index; ``last`` is the whole trunk), or after several.

    ``weights`` is ``pretrained`` (timm's hub), ``none`` (random), or a safetensors file; a list is tried in
    order. ``grid`` averages each feature map to grid × grid cells (a coarser map has its cells repeated), also before
    its statistics are taken. ``patches`` cuts the image into patches × patches pieces that the trunk sees one by one,
    each averaged to grid × grid (1 where not given) cells. ``options`` go to ``timm.create_model``.
    """

    name: str = "resnet18"
    stage: int | Literal["last"] | Annotated[list[int | Literal["last"]], Field(min_length=1)] = "last"
    weights: str | list[str] = "pretrained"
    grid: int | None = Field(None, ge=1, le=64)
    patches: int | None = Field(None, ge=1, le=16)
    options: dict[str, Any] = {}


class Features(Strict):
    """What the backbones give the neck of their maps.

    ``readout: map`` joins the maps of all stages of all backbones on the grid of the first backbone's last stage.
    ``readout: statistics`` reduces each map, at its own grid, to the means and covariances of its channels (of a map
    wider than 256 channels, variances), in one vector; ``components`` replaces these by so many principal components,
    fitted to the training works without labels. With ``flip_average`` an image is read twice, as it is and mirrored
    left to right, and the features are the mean of both.
    """

    readout: Literal["map", "statistics"] = "map"
    flip_average: bool = False
    components: int | None = Field(None, ge=2, le=16384)

    @model_validator(mode="after")
    def _components_are_of_statistics(self) -> Features:
        if self.components and self.readout != "statistics":
            raise ValueError("components are of statistics; set readout: statistics, or leave components out")
        return self


class Neck(Strict):
    """How the tokens become one vector.

    ``lstm``, ``gru`` and ``mingru``, a GRU whose steps are computed side by side, read the tokens along ``scan``: one a
    cell of the map, or with ``tokens: rows`` one a row, all its cells flattened. ``convlstm`` reads row after row, with
    convolutions along the row instead of full connections; ``rowcol`` reads rows and columns with two bidirectional
    GRUs; ``mean`` and ``attention`` pool without recurrence (the honest baselines). ``scan`` and ``tokens`` are for
    the first three alone (``scan`` for cells), ``bidirectional`` and ``pool`` also for ``convlstm``, ``width`` for all
    that recur, ``layers`` for all of these but ``convlstm``. ``mlp`` is one hidden layer, ``fused`` wide, over a
    backbone's ``components`` or a map of one cell, of which it drops ``input_dropout`` in training. Over one cell there
    is ``mean`` too, and no other kind.

    ``statistics`` fuses what the neck reads with statistics of the whole map, in a vector ``fused`` wide:
    ``moments`` are each channel's mean and deviation, ``gram`` the covariances of ``projections`` mixtures of
    channels (at most as many as there are channels; a map of more than 256 channels has no Gram matrix). The kind
    ``statistics`` has nothing else (moments where none are named). Of this kind and of ``mlp`` there may be several
    ``members``, each with heads of its own, whose mean probabilities are the answer.

    ``dropout`` acts on the neck's vector and between recurrent layers; ``layer_dropout`` is another rate for the
    latter. Attention scores a state through a hidden layer of ``attention_hidden`` tanh units, or with 0 by one linear
    layer. Three options are of ``rowcol`` alone. ``projection`` is the number of channels to which a 1 × 1 convolution
    with batch norm and ReLU takes the map first, in place of the layer norm. ``line_mean`` takes the mean of the states
    along each row and each column, so that attention weighs lines instead of cells. ``fuse: concat`` puts rows, columns
    and the mean of the map side by side, 4 · width + channels, instead of mixing them by a linear layer.
    """

    kind: Literal["lstm", "gru", "mingru", "convlstm", "rowcol", "mean", "attention", "statistics", "mlp"] = (
        "lstm"
    )
    scan: Scan = "row"
    tokens: Literal["cells", "rows"] = "cells"
    width: int = Field(256, ge=1, le=8192)
    layers: int = Field(1, ge=1, le=8)
    bidirectional: bool = False
    pool: Literal["last", "mean", "attention"] = "last"
    dropout: float = Field(0.0, ge=0, lt=1)
    statistics: list[Literal["moments", "gram"]] = []
    projections: int = Field(64, ge=2, le=512)
    fused: int = Field(512, ge=1, le=8192)
    input_dropout: Rate = 0.1
    members: int = Field(1, ge=1, le=32)
    layer_dropout: Rate | None = None
    attention_hidden: int = Field(128, ge=0, le=8192)
    projection: int | None = Field(None, ge=1, le=8192)
    line_mean: bool = False
    fuse: Literal["linear", "concat"] = "linear"

    @model_validator(mode="after")
    def _members_fit(self) -> Neck:
        if self.members > 1 and self.kind not in ("statistics", "mlp"):
            raise ValueError(
                f"several members are for kinds statistics and mlp, not for {self.kind}; leave members out"
            )
        if self.statistics and self.kind == "mlp":
            raise ValueError("kind mlp reads one vector as it is; leave statistics out")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> Neck:
        if self.kind != "rowcol":
            for option in ("projection", "line_mean", "fuse"):
                if getattr(self, option) != type(self).model_fields[option].default:
                    raise ValueError(f"{option} is for kind rowcol, not for {self.kind}; leave it out")
        if self.layer_dropout is not None and (
            self.kind not in ("lstm", "gru", "mingru", "rowcol") or self.layers < 2
        ):
            raise ValueError(
                "layer_dropout acts between the layers of lstm, gru, mingru or rowcol; set layers: 2 or more, or "
                "leave it out"
            )
        pooled = self.pool == "attention" and self.kind in ("lstm", "gru", "mingru", "convlstm")
        if self.attention_hidden != 128 and not (pooled or self.kind in ("rowcol", "attention")):
            raise ValueError("attention_hidden is for necks that pool by attention; leave it out")
        return self


class Head(Strict):
    """From the neck's vector to class scores: one linear layer, an MLP, or a residual block with
    squeeze-excitation; ``widths`` are the hidden layers of the latter two. ``dropout`` is one rate, or one for
    each of the widths."""

    kind: Literal["linear", "mlp", "residual-se"] = "linear"
    widths: list[int] = []
    dropout: Rate | list[Rate] = 0.0

    @model_validator(mode="after")
    def _widths_fit(self) -> Head:
        if self.kind == "linear" and self.widths:
            raise ValueError("a linear head has no widths; choose kind mlp or residual-se")
        if self.kind != "linear" and not self.widths:
            raise ValueError(f"a {self.kind} head needs widths, for example [512]")
        if any(w < 1 for w in self.widths):
            raise ValueError("widths must be positive")
        if isinstance(self.dropout, list) and len(self.dropout) != len(self.widths):
            raise ValueError(f"dropout has {len(self.dropout)} rates for {len(self.widths)} widths")
        return self

    def rates(self) -> list[float]:
        """The dropout of each hidden layer."""
        return self.dropout if isinstance(self.dropout, list) else [self.dropout] * len(self.widths)
