"""The HTTP and WebSocket API: routes, middleware, keys, request bodies, and answers in OpenAI's shapes."""
