"""Who says what: the speakers of a recording or of a realtime session."""
