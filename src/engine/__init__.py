"""The engine: a NeMo checkpoint on one device, and everything that knows torch or NeMo."""
