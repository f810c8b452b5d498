"""Training: a recipe is data, a state is one file, and a step is all that tells one kind of learning from another."""
