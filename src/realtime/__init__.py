"""Realtime sessions as state machines: events in, events and work out. No I/O, and no clock but the audio received."""
