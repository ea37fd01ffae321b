"""Audio: from the bytes of any media file to samples, and from samples to speech."""
