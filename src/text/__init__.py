"""Text: transcripts, words, segments, subtitles, languages and keywords. Pure functions and values, but for one
identifier of languages."""
