"""The Transformer, mLSTM, sLSTM and the gated convolution against published packages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from admission import assert_alike, gradients, noise
from mixing import mixer_of
from seqbench.models import gated_tcn, mlstm, slstm, transformer
from torch import Tensor


def copy(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Ours become theirs, for pairs of theirs and ours."""
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.copy_(ours)


@pytest.mark.parametrize("positions", ["rope", "alibi", "none"])
def test_the_transformer_is_that_of_x_transformers(positions: Any) -> None:
    package = pytest.importorskip("x_transformers")
    options = {
        "rope": {"rotary_pos_emb": True, "rotary_emb_dim": 8},
        "alibi": {"alibi_pos_bias": True, "alibi_num_heads": 4},
    }
    ours = transformer.Model(32, width=32, layers=2, heads=4, inner=96, positions=positions).double()
    theirs = package.Decoder(
        dim=32, depth=2, heads=4, attn_dim_head=8, use_rmsnorm=True, ff_mult=3, ff_glu=True, ff_swish=True,
        ff_no_bias=True, **options.get(positions, {}),
    ).double()  # fmt: skip
    with torch.no_grad():
        for block in ours.blocks:
            block.mixer_norm.gain.copy_(noise(32, seed=3))
            block.mlp_norm.gain.copy_(noise(32, seed=4))
    for layer, block in enumerate(ours.blocks):
        (norm, *_), attention, _ = theirs.layers[2 * layer]
        (mlp_norm, *_), mlp, _ = theirs.layers[2 * layer + 1]
        maps = attention.to_q.weight, attention.to_k.weight, attention.to_v.weight
        gate, up = block.mlp.gate_and_up.weight.chunk(2)
        copy([
            *zip(maps, block.mixer.to_queries_keys_values.weight.chunk(3), strict=True),
            (attention.to_out.weight, block.mixer.to_outputs.weight),
            (norm.g, block.mixer_norm.gain - float(norm.unit_offset)),
            (mlp_norm.g, block.mlp_norm.gain - float(mlp_norm.unit_offset)),
            (mlp.ff[0].proj.weight, torch.cat([up, gate])),
            (mlp.ff[0].proj.bias, torch.zeros(192)),
            (mlp.ff[-1].weight, block.mlp.down.weight),
        ])  # fmt: skip
    inputs = noise(2, 50, 32).requires_grad_()
    found = [[outputs, *gradients(outputs, [inputs])] for outputs in (ours(inputs)[0], theirs(inputs))]
    assert_alike(*found, 1e-5)  # theirs has no ε in its norms, and its angles are of single precision


def test_the_mlstm_is_that_of_its_authors() -> None:
    layer = pytest.importorskip("xlstm.blocks.mlstm.layer")
    ours: Any = mixer_of(mlstm.Model, width=32, heads=4)
    theirs = layer.mLSTMLayer(layer.mLSTMLayerConfig(embedding_dim=32, context_length=150, num_heads=4)).double()
    input_gate, forget_gate = ours.gates.weight.chunk(2)
    input_bias, forget_bias = ours.gates.bias.chunk(2)
    copy([
        (theirs.proj_up.weight, ours.enter.weight),
        (theirs.conv1d.conv.weight, ours.convolution.weight.unsqueeze(1)),
        (theirs.conv1d.conv.bias, ours.convolution.bias),
        (theirs.q_proj.weight, ours.queries.weight.transpose(1, 2)),
        (theirs.k_proj.weight, ours.keys.weight.transpose(1, 2)),
        (theirs.v_proj.weight, ours.values.weight.transpose(1, 2)),
        (theirs.mlstm_cell.igate.weight, input_gate),
        (theirs.mlstm_cell.igate.bias, input_bias),
        (theirs.mlstm_cell.fgate.weight, forget_gate),
        (theirs.mlstm_cell.fgate.bias, forget_bias),
        (theirs.mlstm_cell.outnorm.weight, ours.norm.gain - 1),
        (theirs.learnable_skip, ours.skip),
        (theirs.proj_down.weight, ours.leave.weight),
    ])  # fmt: skip
    inputs = noise(2, 150, 32).requires_grad_()
    found = [[outputs, *gradients(outputs, [inputs])] for outputs in (ours(inputs)[0], theirs(inputs))]
    assert_alike(*found, 1e-4)  # theirs adds 1e-6 to what it divides by
    state, steps = {}, []
    for step in inputs.detach()[:, :30].split(1, 1):
        output, state = theirs.step(step, **state)
        steps.append(output)
    assert_alike(ours(inputs[:, :30])[0], torch.cat(steps, 1), 1e-4)


def test_the_slstm_is_that_of_its_authors() -> None:
    layer = pytest.importorskip("xlstm.blocks.slstm.layer")
    ours: Any = mixer_of(slstm.Model, width=32, heads=4)
    theirs = layer.sLSTMLayer(
        layer.sLSTMLayerConfig(embedding_dim=32, num_heads=4, backend="vanilla", dtype="float32")
    ).double()
    copy([
        (theirs.conv1d.conv.weight, ours.convolution.weight.unsqueeze(1)),
        (theirs.conv1d.conv.bias, ours.convolution.bias),
        # What is called its forget gate is taken for the input gate, and the other way round.
        (theirs.fgate.weight, ours.gates.weight[:, :, :8].transpose(1, 2)),
        (theirs.igate.weight, ours.gates.weight[:, :, 8:].transpose(1, 2)),
        (theirs.zgate.weight, ours.candidates.weight[:, :, :8].transpose(1, 2)),
        (theirs.ogate.weight, ours.candidates.weight[:, :, 8:].transpose(1, 2)),
        (theirs.slstm_cell._recurrent_kernel_, ours.recurrent.transpose(1, 2)),
        (theirs.slstm_cell._bias_, ours.bias.view(4, 4, 8).transpose(0, 1).flatten()),
        (theirs.group_norm.weight, ours.norm.gain - 1),
    ])  # fmt: skip
    inputs = noise(2, 60, 32).requires_grad_()
    found = [[outputs, *gradients(outputs, [inputs])] for outputs in (ours(inputs)[0], theirs(inputs))]
    assert_alike(*found, 1e-5)


def test_the_gated_convolution_is_that_of_pytorch_tcn() -> None:
    package = pytest.importorskip("pytorch_tcn")
    ours = gated_tcn.Model(4, width=6, levels=3, kernel=3).double()
    x, shown = ours.front(inputs := noise(2, 40, 4)), 0
    for level, (gates, skip) in enumerate(zip(ours.gates, ours.skips, strict=True)):
        convolution = package.TemporalConv1d(6, 12, 3, dilation=2**level, causal=True).double()
        copy([(convolution.weight, gates.weight.unflatten(1, (3, 6)).transpose(1, 2)), (convolution.bias, gates.bias)])
        signal, gate = convolution(x.transpose(1, 2)).transpose(1, 2).chunk(2, 2)
        z = torch.tanh(signal) * torch.sigmoid(gate)
        shown, x = shown + skip(z), x + (ours.residuals[level](z) if level < 2 else 0)
    assert_alike(ours(inputs)[0], torch.relu(shown))
