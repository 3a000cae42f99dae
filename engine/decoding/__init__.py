"""From a prompt's ids to an answer's: caches, reading, drawing, stopping."""
