"""The engine: a NeMo checkpoint on one device. Apart from `audio/silero.py`, only this room imports torch or NeMo."""
