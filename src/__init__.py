"""Speech-to-text service for NVIDIA Parakeet TDT (see README.md)."""
