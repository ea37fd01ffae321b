"""Speech-to-text service for NVIDIA Parakeet TDT (see README.md)."""

__version__ = "0.1.0"
