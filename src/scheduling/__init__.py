"""The queue of requests for the model: admission, order, batches."""
