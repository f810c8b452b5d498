"""Messages, tensors, JSON and statuses as they are sent and received."""
