"""The decoder on NeMo's label-looping search: tokens with times and probabilities, keywords, and CUDA graphs."""
