"""Text: transcripts, words, segments, subtitles, languages and keywords. Pure functions and values."""
