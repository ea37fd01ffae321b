"""Transcripts as text: words, segments, subtitles, languages and keywords. Pure functions and values."""
