"""The HTTP and WebSocket server: uvicorn with limits for clients that do not make progress."""
