"""Live sessions: events in, events and work out; no I/O and no clock but the samples received."""
