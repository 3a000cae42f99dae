"""The tables, as migrations: script n takes a file from schema n to n + 1. Never edit one that was released; add one.

Two files. The chats are small and precious: checked at every start and backed up daily. The token records are a
hundred times larger and no conversation depends on them, so they must not make either slow or fill the disk six times.
"""

from __future__ import annotations

CHATS = (
    """
    CREATE TABLE chats (
        id TEXT PRIMARY KEY,
        title TEXT NOT NULL,
        folded TEXT NOT NULL,  -- the title case-folded by Python: SQLite folds ASCII only
        mode TEXT NOT NULL,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        model TEXT NOT NULL,
        system TEXT NOT NULL,
        draft TEXT NOT NULL,
        leaf TEXT NOT NULL,
        settings TEXT NOT NULL,
        deleted REAL  -- when, in seconds since 1970; NULL: it is in sight
    );
    CREATE INDEX chats_newest ON chats (updated DESC) WHERE deleted IS NULL;
    CREATE TABLE messages (
        serial INTEGER PRIMARY KEY,  -- a parent is saved before its children, so this is the order to read in
        id TEXT NOT NULL UNIQUE,
        chat TEXT NOT NULL REFERENCES chats ON DELETE CASCADE,
        parent TEXT NOT NULL,  -- empty for a first message
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        status TEXT NOT NULL,
        created REAL NOT NULL,
        model TEXT NOT NULL,
        settings TEXT NOT NULL,
        stats TEXT NOT NULL,
        deleted REAL
    );
    CREATE INDEX messages_of_chat ON messages (chat);
    CREATE INDEX chats_deleted ON chats (deleted) WHERE deleted IS NOT NULL;
    CREATE INDEX messages_deleted ON messages (deleted) WHERE deleted IS NOT NULL;
    """,
)

RECORDS = (
    """
    CREATE TABLE records (
        serial INTEGER PRIMARY KEY,  -- a later save of the same position wins
        message TEXT NOT NULL,
        position INTEGER NOT NULL,  -- of the first token in data
        data BLOB NOT NULL  -- engine/memory/records.py
    );
    CREATE INDEX records_of_message ON records (message);
    """,
    """
    CREATE TABLE drawings (
        serial INTEGER PRIMARY KEY,  -- in the order of the runs
        message TEXT NOT NULL,
        data BLOB NOT NULL  -- engine/memory/records.py
    );
    CREATE INDEX drawings_of_message ON drawings (message);
    """,
)
