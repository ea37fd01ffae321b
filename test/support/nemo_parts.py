"""NeMo's featurizer and encoder with the published checkpoints' settings, in any size, as references."""

import warnings
from typing import Any

import torch

ENCODER = {
    "feat_in": 128,
    "n_layers": 2,
    "d_model": 32,
    "n_heads": 4,
    "subsampling": "dw_striding",
    "subsampling_factor": 8,
    "subsampling_conv_channels": 8,
    "causal_downsampling": False,
    "self_attention_model": "rel_pos",
    "att_context_size": [-1, -1],
    "xscaling": False,
    "use_bias": False,
    "conv_kernel_size": 9,
    "dropout_emb": 0.0,
}
"""Arguments of `ConformerEncoder`: those of the checkpoints' configuration but for smaller sizes."""


def featurizer(**changed: Any) -> Any:
    """NeMo's `FilterbankFeatures` of the published settings, with the changed arguments, in evaluation mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing NeMo raises many warnings
        from nemo.collections.asr.parts.preprocessing.features import FilterbankFeatures

    published = {"n_window_size": 400, "n_window_stride": 160, "n_fft": 512, "nfilt": 128, "dither": 0.0, "pad_to": 0}
    return FilterbankFeatures(**published | changed).eval()


def conformer(seed: int = 0, **changed: Any) -> Any:
    """NeMo's `ConformerEncoder` of `ENCODER` with the changed arguments and random weights, in evaluation mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nemo.collections.asr.modules.conformer_encoder import ConformerEncoder

    encoder = ConformerEncoder(**ENCODER | changed).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in encoder.named_parameters():
        is_gain = "norm" in name and name.endswith("weight")
        weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2 + is_gain)
    for layer in encoder.layers:
        norm = layer.conv.batch_norm
        if getattr(norm, "running_var", None) is not None:
            norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=generator) * 0.5)
            norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=generator) + 0.3)
    return encoder


def with_attention(context: int | None) -> dict[str, Any]:
    """Arguments for `conformer` with attention to `context` frames to each side, None for all."""
    if context is None:
        return {}
    return {"self_attention_model": "rel_pos_local_attn", "att_context_size": [context, context]}
