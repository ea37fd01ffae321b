"""The memory of the process: its limit, how it is divided, and what goes back to the system."""
