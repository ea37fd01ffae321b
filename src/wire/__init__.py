"""Wire: the parts of OpenAI's format that HTTP and the WebSocket share."""
