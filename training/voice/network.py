"""The acoustic model: a factored time-delay network (TDNN-F) over every third frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.voice import kaldi_files
from training.voice.kaldi_files import BYPASS, EPSILON, Factored, Floats, Splice
from training.voice.mfcc import COEFFICIENTS
from training.voice.units import PDF_COUNT

SUBSAMPLING = 3  # frames to one of the network's
_REACH = 4  # frames on either side in the first layer


class Layer(nn.Module):
    """An affine map through a bottleneck with a bypass, over one network frame back and one ahead, or over two back."""

    def __init__(self, width: int, bottleneck: int, ahead: bool) -> None:
        super().__init__()
        self.ahead = ahead
        self.narrow = nn.Linear(2 * width, bottleneck, bias=False)
        self.wide = nn.Linear(2 * bottleneck, width)
        self.norm = _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) to (batch, frames - 2, width)."""
        # narrow(cat(x[t], x[t + 1])), as two maps of every frame: joining narrow frames is the cheaper way
        bottleneck, both = self.narrow.weight.shape
        halves = F.linear(x, self.narrow.weight.view(bottleneck, 2, both // 2).transpose(0, 1).flatten(0, 1))
        y = halves[:, :-1, :bottleneck] + halves[:, 1:, bottleneck:]
        y = F.relu(self.wide(torch.cat([y[:, :-1], y[:, 1:]], -1)))
        return torch.add(_normed(self.norm, y), x[:, 1:-1] if self.ahead else x[:, 2:], alpha=BYPASS)


class AcousticModel(nn.Module):
    """Scores of the pdfs from mean-normalised features.

    Args:
        width, bottleneck, depth: of the layers. 640, 128, 9 are 3.5 million parameters.
        ahead: how many layers, from the first on, look ahead. The words come out so much later: 40 ms, and 30 ms
            a layer.
    """

    shift: Tensor
    scale: Tensor
    mean: Tensor

    def __init__(self, width: int, bottleneck: int, depth: int, ahead: int) -> None:
        super().__init__()
        self.shape = (width, bottleneck, depth, ahead)
        self.register_buffer("shift", torch.zeros(COEFFICIENTS))
        self.register_buffer("scale", torch.ones(COEFFICIENTS))
        self.register_buffer("mean", torch.zeros(COEFFICIENTS))  # of features, for online normalisation
        self.splice = nn.Linear((2 * _REACH + 1) * COEFFICIENTS, width)
        self.norm = _norm(width)
        self.layers = nn.ModuleList(Layer(width, bottleneck, place < ahead) for place in range(depth))
        self.out = nn.Linear(width, PDF_COUNT)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, coefficients) to (batch, ceil(frames / 3), pdfs); edges are repeated, as Kaldi does."""
        batch, frames, _ = features.shape
        _, _, depth, ahead = self.shape
        wanted = -(-frames // SUBSAMPLING)
        x = (features - self.shift) / self.scale
        left = x[:, :1].expand(batch, _REACH + SUBSAMPLING * (2 * depth - ahead), COEFFICIENTS)
        right = x[:, -1:].expand(batch, _REACH + SUBSAMPLING * (ahead + 1) - 1, COEFFICIENTS)
        x = torch.cat([left, x, right], 1).unfold(1, 2 * _REACH + 1, SUBSAMPLING)[:, : wanted + 2 * depth]
        y = x.transpose(2, 3).reshape(batch, -1, (2 * _REACH + 1) * COEFFICIENTS)
        y = _normed(self.norm, F.relu(self.splice(y)))
        for layer in self.layers:
            y = layer(y)
        scores: Tensor = self.out(y)
        return scores

    def exported(self) -> kaldi_files.Network:
        """The network as it is written; what the input is shifted and scaled by goes into the first map."""
        weight = self.splice.weight.detach().reshape(len(self.splice.bias), -1, COEFFICIENTS) / self.scale
        bias = self.splice.bias.detach() - (weight * self.shift).sum((1, 2))
        offsets = tuple(range(-_REACH, _REACH + 1))
        splice = Splice(offsets, plain(weight.flatten(1)), plain(bias), *_statistics(self.norm))
        layers = tuple(
            Factored(
                plain(layer.narrow.weight),
                plain(layer.wide.weight),
                plain(layer.wide.bias),
                *_statistics(layer.norm),
                SUBSAMPLING,
                layer.ahead,
            )
            for layer in self.layers
            if isinstance(layer, Layer)
        )
        return kaldi_files.Network(splice, layers, plain(self.out.weight), plain(self.out.bias))


def plain(tensor: Tensor) -> Floats:
    """As an array."""
    return tensor.detach().cpu().float().numpy()


def _statistics(norm: nn.BatchNorm1d) -> tuple[Floats, Floats]:
    state = norm.state_dict()
    return plain(state["running_mean"]), plain(state["running_var"])


def _norm(width: int) -> nn.BatchNorm1d:
    """Without gain and offset, as Kaldi's."""
    return nn.BatchNorm1d(width, affine=False, eps=EPSILON, momentum=0.05)


def _normed(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    y: Tensor = norm(x.reshape(-1, x.shape[-1])).reshape(x.shape)
    return y
