"""HTTP transport: routes only, no decisions about audio or the model."""
