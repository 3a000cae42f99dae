"""The messages of one chat as a tree: answers written again and messages edited are siblings, nothing is overwritten.

Pure values, no Qt, no storing. A continued text (Complete) is a root with the role "text"; it lives beside the turns of
a conversation and is never shown among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine import StoredMessage


class Tree:
    """Messages by id, children in the order they were made."""

    def __init__(self, messages: Iterable[StoredMessage] = ()) -> None:
        self._messages: dict[str, StoredMessage] = {}
        self._children: dict[str, list[str]] = {}
        self._paths: dict[str, list[StoredMessage]] = {}  # walked since the last change
        for message in messages:
            self.put(message)

    def __contains__(self, key: str) -> bool:
        return key in self._messages

    def __getitem__(self, key: str) -> StoredMessage:
        return self._messages[key]

    def get(self, key: str) -> StoredMessage | None:
        return self._messages.get(key)

    def __iter__(self) -> Iterator[StoredMessage]:
        return iter(self._messages.values())

    def put(self, message: StoredMessage) -> None:
        """Insert, or replace the message of that id."""
        self._paths.clear()
        known = message.id in self._messages
        self._messages[message.id] = message
        if not known:
            versions = self._children.setdefault(message.parent, [])
            versions.append(message.id)
            if len(versions) > 1:  # what an undo brings back finds its place
                versions.sort(key=lambda key: self._messages[key].created)

    def remove(self, keys: Iterable[str]) -> None:
        self._paths.clear()
        for key in keys:
            message = self._messages.pop(key)
            self._children[message.parent].remove(key)

    def path(self, leaf: str) -> list[StoredMessage]:
        """From the first message to this one; empty where there is no such message. Not to be changed."""
        if leaf not in self._paths:
            result, key = [], leaf
            while key in self._messages:
                result.append(self._messages[key])
                key = self._messages[key].parent
            self._paths[leaf] = result[::-1]
        return self._paths[leaf]

    def siblings(self, key: str) -> list[StoredMessage]:
        """The versions of a message, itself among them, oldest first."""
        message = self._messages[key]
        keys = self._children[message.parent]
        return [self._messages[k] for k in keys if (self._messages[k].role == "text") == (message.role == "text")]

    def below(self, key: str) -> list[str]:
        """The message and all that follows from it."""
        result = [key]
        for found in result:
            result.extend(self._children.get(found, ()))
        return result

    def newest_leaf(self, key: str) -> str:
        """The end of the latest branch that goes through this message."""
        while self._children.get(key):
            key = self._children[key][-1]
        return key

    def newest(self, mode: str) -> str:
        """The latest leaf of a mode (chat or complete); "" where there is none."""
        roots = [k for k in self._children.get("", ()) if (self._messages[k].role == "text") == (mode == "complete")]
        return self.newest_leaf(roots[-1]) if roots else ""
