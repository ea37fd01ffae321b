"""Who is transcribed next, and with whom."""
