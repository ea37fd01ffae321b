"""From the bytes of any media file to samples."""
