"""Text to ids and back: the tokenizer, its streaming decoder and the chat template."""
