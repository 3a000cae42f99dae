"""Looking inside a model while it runs; knows tensors and names, no family."""
