"""The file pipeline: an upload or a realtime item in, its text out as it comes."""
