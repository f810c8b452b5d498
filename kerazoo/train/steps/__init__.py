"""Steps: from the state and a batch to the state and figures, one kind of learning a file."""
