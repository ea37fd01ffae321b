"""Build a checkpoint of random weights with the exact shape of nvidia/parakeet-tdt-0.6b-v2.

python3 test/random_parakeet.py OUT.nemo [--size 0.6b|tiny] [--tokens-per-second R] [--device cpu|cuda]

It knows nothing, so its transcripts are noise; its cost is real: the same layers, tensors and decoder. The joint's
biases are set so that decoding emits about as many tokens per second as English speech does, as decoding time follows
that rate. Use it to time a machine where the published weights cannot be had, and never to judge accuracy.
"""

import argparse
import logging
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import client

DURATIONS = [0, 1, 2, 3, 4]
"""Encoder frames that a token may advance."""
TOKENS_PER_S = 3.5
"""Of English speech, with the published model's vocabulary of 1,024 pieces."""
VOCABULARY = 1024
MODULES = "nemo.collections.asr.modules."


@dataclass(frozen=True)
class Shape:
    """The sizes that make a Parakeet TDT."""

    width: int
    layers: int
    heads: int
    channels: int
    """Of the subsampling convolutions."""
    predictor: int
    predictor_layers: int
    joint: int


SHAPES = {"0.6b": Shape(1024, 24, 8, 256, 640, 2, 640), "tiny": Shape(144, 6, 4, 64, 160, 1, 160)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    options = arguments(argv)
    rate = write(options.out, SHAPES[options.size], options.tokens_per_second, options.device)
    print(f"{options.out}: {options.size}, {rate:.1f} tokens per second")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Build a checkpoint of random weights in Parakeet's shape.")
    parser.add_argument("out", type=Path, metavar="OUT.nemo")
    parser.add_argument("--size", choices=SHAPES, default="0.6b", help="(default: %(default)s)")
    parser.add_argument("--tokens-per-second", type=client.positive, default=TOKENS_PER_S, metavar="R")
    parser.add_argument("--device", default="cpu", help="where to calibrate; a minute on a CPU (default: %(default)s)")
    return parser.parse_args(argv)


def write(path: Path, shape: Shape, tokens_per_s: float = TOKENS_PER_S, device: str = "cpu") -> float:
    """Write a model of `shape`, calibrated on `device`, to `path`, and return the tokens per second that it emits."""
    import torch
    from nemo.collections.asr.models import EncDecRNNTBPEModel

    logging.getLogger("nemo_logger").setLevel(logging.ERROR)
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        model = EncDecRNNTBPEModel(config(Path(folder), shape)).eval().to(device)
        model.preprocessor.featurizer.dither = 0.0
        rate = calibrate(model, tokens_per_s)
        model.to("cpu").save_to(str(path))
    return rate


def write_tokenizer(folder: Path) -> None:
    """Train a SentencePiece model on made-up words, and write it to `folder` in the files that NeMo reads."""
    import sentencepiece

    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(6000)]
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(" ".join(chance.choices(words, k=8)) for _ in range(8000)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCABULARY,
        model_type="bpe",
        minloglevel=2,
        bos_id=-1,
        eos_id=-1,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    (folder / "vocab.txt").write_text("\n".join(pieces.id_to_piece(i) for i in range(pieces.vocab_size())))


def config(folder: Path, shape: Shape) -> Any:
    """Return NeMo's configuration of a model of `shape`, with the tokenizer in `folder`; values as published."""
    from omegaconf import OmegaConf

    return OmegaConf.create(
        {
            "sample_rate": 16000,
            "log_prediction": False,
            "preprocessor": _preprocessor(),
            "tokenizer": {"dir": str(folder), "type": "bpe"},
            "encoder": _encoder(shape),
            "decoder": _decoder(shape),
            "joint": _joint(shape),
            "decoding": {
                "strategy": "greedy_batch",
                "model_type": "tdt",
                "durations": DURATIONS,
                "greedy": {"max_symbols": 10},
            },
            "model_defaults": {
                "enc_hidden": shape.width,
                "pred_hidden": shape.predictor,
                "joint_hidden": shape.joint,
                "tdt_durations": DURATIONS,
                "num_tdt_durations": len(DURATIONS),
            },
            "loss": {"loss_name": "tdt", "tdt_kwargs": {"durations": DURATIONS, "sigma": 0.02, "omega": 0.1}},
            "validation_ds": {"use_start_end_token": False, "defer_setup": True},
        }
    )


def _preprocessor() -> dict[str, Any]:
    return {
        "_target_": MODULES + "AudioToMelSpectrogramPreprocessor",
        "sample_rate": 16000,
        "normalize": "per_feature",
        "window_size": 0.025,
        "window_stride": 0.01,
        "window": "hann",
        "features": 128,
        "n_fft": 512,
        "log": True,
        "frame_splicing": 1,
        "dither": 1e-5,
        "pad_to": 0,
        "pad_value": 0.0,
    }


def _encoder(shape: Shape) -> dict[str, Any]:
    return {
        "_target_": MODULES + "ConformerEncoder",
        "feat_in": 128,
        "feat_out": -1,
        "n_layers": shape.layers,
        "d_model": shape.width,
        "use_bias": False,
        "subsampling": "dw_striding",
        "subsampling_factor": 8,
        "subsampling_conv_channels": shape.channels,
        "causal_downsampling": False,
        "ff_expansion_factor": 4,
        "self_attention_model": "rel_pos",
        "n_heads": shape.heads,
        "att_context_size": [-1, -1],
        "xscaling": False,
        "untie_biases": True,
        "pos_emb_max_len": 5000,
        "conv_kernel_size": 9,
        "conv_norm_type": "batch_norm",
        "dropout": 0.1,
        "dropout_pre_encoder": 0.1,
        "dropout_emb": 0.0,
        "dropout_att": 0.1,
    }


def _decoder(shape: Shape) -> dict[str, Any]:
    return {
        "_target_": MODULES + "RNNTDecoder",
        "normalization_mode": None,
        "random_state_sampling": False,
        "blank_as_pad": True,
        "prednet": {
            "pred_hidden": shape.predictor,
            "pred_rnn_layers": shape.predictor_layers,
            "t_max": None,
            "dropout": 0.2,
        },
    }


def _joint(shape: Shape) -> dict[str, Any]:
    return {
        "_target_": MODULES + "RNNTJoint",
        "log_softmax": None,
        "preserve_memory": False,
        "fuse_loss_wer": False,
        "fused_batch_size": 4,
        "num_extra_outputs": len(DURATIONS),
        "jointnet": {"joint_hidden": shape.joint, "activation": "relu", "dropout": 0.2},
    }


def calibrate(model: Any, tokens_per_s: float) -> float:
    """Set the joint's biases by bisection so that decoding emits about `tokens_per_s`; return what it then emits."""
    import torch

    output = model.joint.joint_net[-1]
    durations = -len(DURATIONS)
    with torch.no_grad():
        output.weight[durations:] *= 0.2  # durations lean on the bias: mostly 1 to 4 frames
        output.bias[durations:] = torch.tensor([-4.0, 0.2, 0.3, 0.2, 0.1])
        output.weight[:durations] *= 4.0  # so that the token depends on the frame
    audio = 0.1 * torch.randn(4, 8 * 16000, generator=torch.Generator().manual_seed(1))
    audio = audio.to(output.weight.device)
    low, high, rate = -60.0, 60.0, 0.0
    for _ in range(24):
        middle = (low + high) / 2
        with torch.no_grad():
            output.bias[durations - 1] = middle  # of the blank
        rate = emitted_per_s(model, audio)
        low, high = (middle, high) if rate > tokens_per_s else (low, middle)
    return rate


def emitted_per_s(model: Any, audio: Any) -> float:
    """Return the tokens per second of audio that greedy decoding emits over a batch (clips, samples) at 16 kHz."""
    import torch

    lengths = torch.full((len(audio),), audio.shape[1], device=audio.device)
    with torch.inference_mode():
        encoded, encoded_lengths = model.forward(input_signal=audio, input_signal_length=lengths)
        heard = model.decoding.rnnt_decoder_predictions_tensor(encoded, encoded_lengths, return_hypotheses=True)
    return sum(len(each.y_sequence) for each in heard) / (audio.numel() / 16000)


if __name__ == "__main__":
    sys.exit(client.run(main))
