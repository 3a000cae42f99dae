"""How the next token is chosen: steps over logits, their order, and the draw."""
