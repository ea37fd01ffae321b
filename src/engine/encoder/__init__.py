"""The FastConformer encoder: log-mel features in, frames out."""
