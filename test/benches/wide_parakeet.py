"""Widen the bundled checkpoint to the shape of nvidia/parakeet-tdt-0.6b-v2 or v3, with its cost and tiny's texts.

python3 test/benches/wide_parakeet.py [--size 0.6b|0.6b-v3|small] [--out FILE.nemo] [--check]

Layers, tensors, vocabulary and decoder are those of the shape; texts and times are those of `tiny`. This allows to
measure a machine's speed, and to check its results, where the published weights are not available. It shows nothing
about their accuracy. `--check` compares its texts with those of `tiny` in float32; `PARAKEET_DEVICE` and
`PARAKEET_DTYPE` choose how it runs. Making 0.6b takes half a minute of CPU time and 3.3 GB of memory; the file has
1.2 GB.

How the wide network holds each part of the small one ("narrow", n wide):

- Residual stream. A LayerNorm takes the mean of its input away, so the narrow stream x is kept without its mean, as
  y = E x. The rows of E are scaled pairs q, -q for each q of an orthonormal basis, repeated until the width W is full,
  with E'E = W / n. So y has no mean and the variance of x, and LayerNorm(y) = E LayerNorm(x). What reads the stream is
  multiplied by the inverse of E, what adds to it by E. Gain and bias of a LayerNorm go into what reads it.
- End of a block. Nothing can take the gain g of `norm_out`, because the next block adds to what it scales. Without the
  mean, that gain is the symmetric matrix C diag(g) C, where C takes the mean away: a gain again in the basis of its
  eigenvectors. The stream begins in the basis of the first block. Behind each later block but the last, whose gain the
  joint takes, one more block changes the basis: its feed-forward is linear, as swish(a) - swish(-a) = a, and its
  `norm_out` has the eigenvalues. So 7 blocks need 12.
- Further blocks, and further units of the feed-forward, attention and convolution, have random weights, in pairs whose
  outputs cancel; those of subsampling, predictor and joint have random weights that nothing reads.
- Heads. The first dimensions of the first heads, with queries times sqrt(128 / 36), for NeMo's divisor.
- Tokens. The added pieces never come out of the tokenizer, and their scores never win; blank and durations are last.
- Positions. Where W is a multiple of n, NeMo's sinusoids of width n are among those of width W. Otherwise `linear_pos`
  gets the combination of those that is nearest over offsets of up to `REACH` frames.

All of this is exact but for three things. Weights are stored in float16. A LayerNorm of what is normalised already
divides it by sqrt(1 + 1e-5), for its eps, so each further block takes 5e-6 of the stream. The positions of 0.6b are
within 3e-5 up to `REACH`, which is all that the service's local attention sees. Beyond, where full attention looks on
clips of more than 10 s, they are wrong; the bundled clips of 28, 60 and 118 s have the same texts all the same (1024
wide, 12 layers).

Texts that are those of tiny in float32, one clip at a time on a CPU: small, all 49 bundled clips in float32, bfloat16
and float16 (tiny itself 49, 48 and 49); 0.6b, the 46 short ones in float32 and bfloat16. Times are equal in float32;
in half precision, as with tiny itself, a token is up to three frames early or late.
"""

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import search_path
import client
import torch
from torch import Tensor

REACH = 128
"""Frames to each side for which positions are fitted: the default of `PARAKEET_LOCAL_ATTENTION_CONTEXT`."""
RIDGE = 1e-6
"""Keeps the combinations of sinusoids about as small as a single one, so that bfloat16 is precise enough for them."""
NEVER = -1000.0
"""The score of a token that must never win."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a Parakeet TDT. The feed-forward is four times as wide as the stream."""

    width: int
    layers: int
    heads: int
    channels: int
    """Channels of the subsampling convolutions."""
    predictor: int
    predictor_layers: int
    joint: int
    vocabulary: int = 1024


SHAPES = {
    "0.6b": Shape(1024, 24, 8, 256, 640, 2, 640),
    "0.6b-v3": Shape(1024, 24, 8, 256, 640, 2, 640, vocabulary=8192),
    "small": Shape(288, 12, 8, 64, 192, 2, 256),
}
"""The published shapes, of v2 and v3, and nearly the smallest for the bundled checkpoint (7 layers of width 144, 4
heads of 36)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code."""
    options = arguments(argv)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write(options.out, SHAPES[options.size])
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.0f} MB")
    return check(options.out) if options.check else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Widen the bundled checkpoint to Parakeet's shape.")
    parser.add_argument("--size", choices=SHAPES, default="0.6b", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE.nemo", help="(default: test/results/wide-SIZE.nemo)")
    parser.add_argument("--check", action="store_true", help="compare its texts of the bundled clips with tiny's")
    options = parser.parse_args(argv)
    options.out = options.out or client.RESULTS / f"wide-{options.size}.nemo"
    return options


def check(path: Path) -> int:
    """Print the texts of the checkpoint at `path` for the short bundled clips; return 1 if `tiny` has others."""
    from src.engine.nemo_model import NemoModel
    from src.settings import Settings

    files = client.short_clips()
    narrow = NemoModel.load(Settings(model_id="tiny", device="cpu", dtype="float32"))
    wide = NemoModel.load(Settings(model_id=str(path)))
    different = 0
    for file in files:
        clip = client.samples_of(file)
        expected, actual = (engine.transcribe(engine.collate([clip]))[0].text for engine in (narrow, wide))
        different += actual != expected
        print(f"{file.name}: {actual}" + (f"\n  tiny: {expected}" if actual != expected else ""))
    print(f"{different} of {len(files)} texts differ from tiny's")
    return min(different, 1)


def write(path: Path, shape: Shape) -> None:
    """Widen the bundled checkpoint to `shape` and write it to `path`, weights as float16.

    Raises:
        ValueError: the shape is too small.
    """
    from nemo.collections.asr.models import ASRModel

    from src.engine.checkpoint import TINY

    logging.getLogger("nemo_logger").addFilter(lambda record: record.levelno >= logging.ERROR)
    small = ASRModel.restore_from(str(TINY), map_location="cpu")
    with TemporaryDirectory(dir=path.parent) as folder:
        big = widen(small, shape, Path(folder))
        for part in (big.encoder, big.decoder, big.joint):  # not the preprocessor, which always runs in float32
            part.half()
        unfinished = Path(folder) / path.name
        big.save_to(str(unfinished))
        unfinished.replace(path)


def widen(small: Any, shape: Shape, folder: Path) -> Any:
    """Return a network of `shape` that computes what `small`, a NeMo TDT in float32 on the CPU, does.

    `folder` gets the files of its tokenizer, which NeMo reads again when it saves the network.

    Raises:
        ValueError: `small` does not fit into the shape.
    """
    from nemo.collections.asr.models import EncDecRNNTBPEModel

    require_room(shape, small)
    write_tokenizer(small, shape.vocabulary, folder)
    torch.manual_seed(0)
    big = EncDecRNNTBPEModel(config(small.cfg, shape, folder)).eval()
    with torch.no_grad():
        stream = fill_encoder(big.encoder, small.encoder)
        fill_joint(big.joint, small.joint, stream, small.encoder.layers[-1].norm_out)
        fill_predictor(big.decoder.prediction, small.decoder.prediction)
    big.preprocessor.load_state_dict(small.preprocessor.state_dict())  # tiny's filters are rounded to float16
    return big


def require_room(shape: Shape, small: Any) -> None:
    """Raise ValueError, with every size that is wrong, unless `small` fits into the shape."""
    encoder, predictor = small.encoder, small.decoder.prediction
    attention = encoder.layers[0].self_attn
    least = {
        "width": 2 * encoder.d_model,
        "layers": 2 * len(encoder.layers) - 2,
        "heads": attention.h,
        "channels": len(encoder.pre_encode.conv[0].bias),
        "predictor": predictor["embed"].embedding_dim,
        "joint": small.joint.joint_hidden,
        "vocabulary": small.tokenizer.vocab_size,
    }
    wrong = [f"{name} at least {size}" for name, size in least.items() if getattr(shape, name) < size]
    if shape.width < shape.heads * attention.d_k:
        wrong.append(f"width at least {attention.d_k} for each head")
    if shape.width % 2:
        wrong.append("width even")
    if shape.predictor_layers != predictor["dec_rnn"].lstm.num_layers:
        wrong.append(f"predictor_layers {predictor['dec_rnn'].lstm.num_layers}")
    if wrong:
        raise ValueError(f"{shape} does not hold the small network, which needs: {', '.join(wrong)}")


# -- what NeMo builds the network from ---------------------------------------------------------------------------------


def write_tokenizer(small: Any, vocabulary: int, folder: Path) -> None:
    """Write the tokenizer of `small` to `folder`, with further pieces up to a size of `vocabulary`."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString(small.tokenizer.tokenizer.serialized_model_proto())
    for number in range(len(model.pieces), vocabulary):
        model.pieces.add(piece=f"<never{number}>", type=model.SentencePiece.UNUSED)
    model.trainer_spec.vocab_size = vocabulary
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    (folder / "vocab.txt").write_text("\n".join(each.piece for each in model.pieces))


def config(own: Any, shape: Shape, folder: Path) -> Any:
    """Return NeMo's configuration `own` with the sizes of `shape` and the tokenizer in `folder`."""
    from omegaconf import OmegaConf

    encoder = {"d_model": shape.width, "n_layers": shape.layers, "n_heads": shape.heads}
    sizes = {
        "model_defaults": {"enc_hidden": shape.width, "pred_hidden": shape.predictor, "joint_hidden": shape.joint},
        "encoder": encoder | {"subsampling_conv_channels": shape.channels},
        "decoder": {"prednet": {"pred_hidden": shape.predictor, "pred_rnn_layers": shape.predictor_layers}},
        "joint": {"jointnet": {"joint_hidden": shape.joint}},
    }
    result = OmegaConf.merge(own, sizes)
    result.tokenizer = {"dir": str(folder), "type": "bpe"}
    return result


# -- the residual stream -----------------------------------------------------------------------------------------------


class Stream:
    """How a wide residual stream holds a narrow one: the matrix E (wide, narrow), for a basis (narrow, narrow)."""

    def __init__(self, basis: Tensor, width: int) -> None:
        channels = torch.arange(width)
        self.direction = channels // 2 % len(basis)
        """The column of the basis, positive or negative, in each channel (wide,)."""
        copies = torch.bincount(self.direction)[self.direction].double()
        scales = (1 - 2 * (channels % 2)) * (width / len(basis) / copies).sqrt()
        self.matrix = scales.unsqueeze(1) * basis.T[self.direction]
        self.inverse = self.matrix.T * (len(basis) / width)

    def bias(self, norm: Any) -> Tensor:
        """Return the bias (wide,) that stands for `norm`, a narrow LayerNorm, in a wide one of gain 1."""
        bias: Tensor = norm.bias / norm.weight
        return self.matrix @ bias.double()

    def reading(self, weight: Tensor, norm: Any) -> Tensor:
        """Return the weight (units, wide) that stands for one (units, narrow) which reads the stream through `norm`."""
        read: Tensor = weight.flatten(1) * norm.weight
        return read.double() @ self.inverse

    def adding(self, weight: Tensor) -> Tensor:
        """Return the weight (wide, units) or bias (wide,) that stands for a narrow one which adds to the stream."""
        return self.matrix @ (weight - weight.mean(dim=0)).double().squeeze(-1)


def principal_gains(norm: Any) -> tuple[Tensor, Tensor]:
    """Return the gain of a LayerNorm on vectors without a mean as gains (narrow,) in a basis (narrow, narrow)."""
    centre = torch.eye(len(norm.weight), dtype=torch.float64) - 1 / len(norm.weight)
    gains, basis = torch.linalg.eigh(centre * norm.weight @ centre)
    return gains, basis


# -- the encoder -------------------------------------------------------------------------------------------------------


def fill_encoder(big: Any, small: Any) -> Stream:
    """Fill the encoder and return how its output holds the small one's."""
    _, basis = principal_gains(small.layers[0].norm_out)
    stream = Stream(basis, big.d_model)
    fill_subsampling(big.pre_encode, small.pre_encode, stream)
    return fill_blocks(big.layers, small.layers, stream, combined_sinusoids(small.d_model, big.d_model))


def fill_subsampling(big: Any, small: Any, stream: Stream) -> None:
    """Fill the convolutions in front of the blocks."""
    for wide, narrow in zip(big.conv, small.conv, strict=True):
        if hasattr(wide, "weight"):
            put_rows(wide.weight, narrow.weight)
            put_rows(wide.bias, narrow.bias)
    channels = len(big.conv[0].bias), len(small.conv[0].bias)
    big.out.weight.zero_()
    put_columns(big.out.weight, stream.adding(small.out.weight), channels)
    big.out.bias.copy_(stream.adding(small.out.bias))


def fill_blocks(big: Any, small: Any, stream: Stream, sinusoids: Tensor) -> Stream:
    """Fill conformer blocks and return how the output of the last holds that of the small network's last.

    Additional blocks alternate with the small network's, after its first.
    """
    blocks = iter(big)
    spare, more = divmod(len(big) - 2 * len(small) + 2, len(small) - 1)
    for block in big:
        cancel_units(block)
    for number, narrow in enumerate(small):
        block = next(blocks)
        fill_block(block, narrow, stream, sinusoids)
        if number > 0:  # the first block's `norm_out` stays plain
            for _ in range(spare + (number <= more)):
                block = next(blocks)
            if number == len(small) - 1:
                break
            block = next(blocks)
            stream = change_basis(block, stream, narrow.norm_out)
        gains, _ = principal_gains(narrow.norm_out)
        block.norm_out.weight.copy_(gains[stream.direction])
        block.norm_out.bias.copy_(stream.adding(narrow.norm_out.bias))
    block.norm_out.bias.copy_(stream.bias(narrow.norm_out))
    return stream


def cancel_units(block: Any) -> None:
    """Give pairs of units the same input weights and opposite output weights, so that the block adds nothing.

    The small network's units replace the first ones later and leave whole pairs, as their numbers are even.
    """
    conv, attention, first, second = block.conv, block.self_attn, block.feed_forward1, block.feed_forward2
    for reads in (first.linear1, attention.linear_v, conv.pointwise_conv1, conv.depthwise_conv, second.linear1):
        reads.weight[1::2] = reads.weight[::2]
    for adds in (first.linear2, attention.linear_out, conv.pointwise_conv2, second.linear2):
        adds.weight[:, 1::2] = -adds.weight[:, ::2]


def fill_block(big: Any, small: Any, stream: Stream, sinusoids: Tensor) -> None:
    """Fill a conformer block but its `norm_out`."""
    for name in ("norm_feed_forward1", "norm_self_att", "norm_conv", "norm_feed_forward2"):
        getattr(big, name).bias.copy_(stream.bias(getattr(small, name)))
    fill_feed_forward(big.feed_forward1, small.feed_forward1, stream, small.norm_feed_forward1)
    fill_attention(big.self_attn, small.self_attn, stream, small.norm_self_att, sinusoids)
    fill_convolution(big.conv, small.conv, stream, small.norm_conv)
    fill_feed_forward(big.feed_forward2, small.feed_forward2, stream, small.norm_feed_forward2)


def fill_feed_forward(big: Any, small: Any, stream: Stream, norm: Any) -> None:
    """Fill a feed-forward, which reads the stream through the small network's `norm`."""
    put_rows(big.linear1.weight, stream.reading(small.linear1.weight, norm))
    put_columns(big.linear2.weight, stream.adding(small.linear2.weight))


def fill_attention(big: Any, small: Any, stream: Stream, norm: Any, sinusoids: Tensor) -> None:
    """Fill an attention, which reads the stream through the small network's `norm`."""
    heads, scale = (big.h, small.h), math.sqrt(big.d_k / small.d_k)
    big.linear_q.weight[: small.h * big.d_k] = 0  # further dimensions of keys and positions then have no effect
    put_rows(big.linear_q.weight, scale * stream.reading(small.linear_q.weight, norm), heads)
    put_rows(big.linear_k.weight, stream.reading(small.linear_k.weight, norm), heads)
    put_rows(big.linear_v.weight, stream.reading(small.linear_v.weight, norm), heads)
    put_rows(big.linear_pos.weight, small.linear_pos.weight.double() @ sinusoids, heads)
    put_rows(big.pos_bias_u, scale * small.pos_bias_u)
    put_rows(big.pos_bias_v, scale * small.pos_bias_v)
    put_columns(big.linear_out.weight, stream.adding(small.linear_out.weight), heads)


def combined_sinusoids(narrow: int, wide: int) -> Tensor:
    """Return the matrix (narrow, wide) that maps NeMo's position embeddings of width `wide` to those of `narrow`."""
    if wide % narrow == 0:
        columns = torch.arange(narrow)
        return torch.eye(wide, dtype=torch.float64)[columns // 2 * 2 * (wide // narrow) + columns % 2]
    offsets = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    given, wanted = position_embeddings(offsets, wide), position_embeddings(offsets, narrow)
    ridge = RIDGE * torch.eye(len(offsets), dtype=torch.float64)
    solution: Tensor = torch.linalg.solve(given @ given.T + ridge, wanted)
    return (given.T @ solution).T


def position_embeddings(offsets: Tensor, width: int) -> Tensor:
    """Return NeMo's embeddings (offsets, width) of offsets in frames, as `PositionalEncoding.create_pe` makes them."""
    phases = offsets.unsqueeze(1) * 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.stack((phases.sin(), phases.cos()), dim=2).flatten(1)


def fill_convolution(big: Any, small: Any, stream: Stream, norm: Any) -> None:
    """Fill a convolution module, which reads the stream through the small network's `norm`."""
    halves = (2, 2)  # of the GLU: values and gates
    put_rows(big.pointwise_conv1.weight, stream.reading(small.pointwise_conv1.weight, norm), halves)
    put_rows(big.depthwise_conv.weight, small.depthwise_conv.weight)
    for name in ("weight", "bias", "running_mean", "running_var"):
        put_rows(getattr(big.batch_norm, name), getattr(small.batch_norm, name))
    put_columns(big.pointwise_conv2.weight, stream.adding(small.pointwise_conv2.weight))


def change_basis(block: Any, before: Stream, norm: Any) -> Stream:
    """Make a block change a normalised stream to the basis in which `norm` has a gain; return the new stream."""
    _, basis = principal_gains(norm)
    after = Stream(basis, len(before.matrix))
    change = (after.matrix - before.matrix) / block.fc_factor
    put_rows(block.feed_forward1.linear1.weight, torch.cat((before.inverse, -before.inverse)))
    put_columns(block.feed_forward1.linear2.weight, torch.cat((change, -change), dim=1))
    return after


# -- the decoder -------------------------------------------------------------------------------------------------------


def fill_joint(big: Any, small: Any, stream: Stream, norm: Any) -> None:
    """Fill the joint, which reads the encoder's output through the small network's last `norm`."""
    for name, weight in (("enc", stream.reading(small.enc.weight, norm)), ("pred", small.pred.weight)):
        put_rows(getattr(big, name).weight, weight)
        put_rows(getattr(big, name).bias, getattr(small, name).bias)
    wide, narrow = big.joint_net[-1], small.joint_net[-1]
    tokens = len(narrow.bias) - small.num_extra_outputs - 1
    rows = [*range(tokens), *range(tokens - len(narrow.bias), 0)]  # then the blank and the durations
    wide.weight.zero_()
    wide.weight[rows, : narrow.in_features] = narrow.weight
    wide.bias.fill_(NEVER)
    wide.bias[rows] = narrow.bias


def fill_predictor(big: Any, small: Any) -> None:
    """Fill the prediction network; its last token is the blank."""
    tokens, width = small["embed"].weight.shape
    big["embed"].weight[[*range(tokens - 1), -1], :width] = small["embed"].weight
    gates = (4, 4)
    for name, weight in small["dec_rnn"].lstm.named_parameters():
        put_rows(getattr(big["dec_rnn"].lstm, name), weight, gates)


# -- weights -----------------------------------------------------------------------------------------------------------


def put_rows(target: Tensor, source: Tensor, parts: tuple[int, int] = (1, 1)) -> None:
    """Put `source` (units, inputs) into the first rows and columns of `target`, with zeros in those rows behind it.

    Both consist of so many parts (of target and source), such as heads or gates, each of which is filled by itself.
    Other rows of `target` stay as they are.
    """
    wide, narrow = target.view(parts[0], -1, target[0].numel()), source.reshape(parts[1], -1, source[0].numel())
    units = wide[: parts[1], : narrow.shape[1]]
    units.zero_()
    units[:, :, : narrow.shape[2]] = narrow


def put_columns(target: Tensor, source: Tensor, parts: tuple[int, int] = (1, 1)) -> None:
    """Put `source` (outputs, units) into the first columns of each part of `target`; other columns stay as they are."""
    wide, narrow = target.view(len(target), parts[0], -1), source.reshape(len(source), parts[1], -1)
    wide[:, : parts[1], : narrow.shape[2]] = narrow


if __name__ == "__main__":
    sys.exit(client.run(main))
