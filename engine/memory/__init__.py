"""What Vitrine remembers: chats on disk. Knows SQLite and the protocol's values; no model, no torch, no window."""
