"""The TDT decoder: the encoder's frames in, tokens with times and log probabilities out."""
