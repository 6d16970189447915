"""Words from a stack of texts: those of an import come before those that follow it. Pure."""

from collections.abc import Sequence

from kdns.base.errors import ConfigError
from kdns.config.tokens import MOST_WORDS, Token


class Stop(Exception):
    """Nothing sensible can be read any more; ``error`` says why."""

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error


class Frame:
    """A text that words are taken from."""

    def __init__(self, tokens: Sequence[Token], origin: str, folder: str) -> None:
        self.tokens, self.at = tokens, 0
        self.origin = origin
        """A path, or the name of a snippet in parentheses."""
        self.folder = folder
        """What its imports are relative to."""


class Stack:
    """The words still to come."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._taken = 0

    def __len__(self) -> int:
        """How many texts are within each other, with those that have just ended."""
        return len(self._frames)

    def push(self, frame: Frame) -> None:
        """Take words from here next."""
        self._frames.append(frame)

    @property
    def folder(self) -> str:
        """What an import that was just taken is relative to."""
        return self._frames[-1].folder

    def origins(self) -> set[str]:
        """All texts that the word just taken is within."""
        return {frame.origin for frame in self._frames}

    def take(self) -> Token | None:
        """The next word. Raises Stop when there are too many."""
        while self._frames:
            frame = self._frames[-1]
            if frame.at < len(frame.tokens):
                token = frame.tokens[frame.at]
                frame.at += 1
                self._taken += 1
                if self._taken > MOST_WORDS:
                    raise Stop(token.word.error(f"more than {MOST_WORDS} words", "too much is imported"))
                return token
            self._frames.pop()
        return None

    def peek(self) -> Token | None:
        """The next word, left where it is; texts that have ended stay, so that an import knows what it is within."""
        for frame in reversed(self._frames):
            if frame.at < len(frame.tokens):
                return frame.tokens[frame.at]
        return None

    def more(self) -> Token | None:
        """The next word if it is on the same line."""
        token = self.peek()
        return None if token is None or token.first else token

    def skip_line(self) -> None:
        """Leave out the rest of the line, but not a brace that closes."""
        while (token := self.more()) is not None and token.mark != "}":
            self.take()
