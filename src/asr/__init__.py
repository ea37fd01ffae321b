"""The speech recognition engine and what comes out of it."""
