"""The parts of OpenAI's wire format that HTTP and the WebSocket share."""
