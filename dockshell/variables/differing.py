"""Two environments, compared."""

from __future__ import annotations

from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Difference", "differences"]

_SHORT = 30  # characters of a value that are shown whole
_SHARED = 4  # characters before the first that differs, which tell where that is


@noun(frozen=True)
class Difference:
    """A variable that is not the same in both. one, other: its values, None where there is no such variable."""

    name: str
    one: str | None
    other: str | None

    @property
    def mark(self) -> str:
        """`-`: the one alone has it; `+`: the other alone has it; `~`: both have it, with different values."""
        if self.other is None:
            return "-"
        return "+" if self.one is None else "~"

    @property
    def briefly(self) -> tuple[str | None, str | None]:
        """Both values, those that are long without what they begin with alike: for where not all of them fits, as of
        two PATHs that differ at their ends."""
        if self.one is None or self.other is None or max(len(self.one), len(self.other)) <= _SHORT:
            return self.one, self.other
        shortest = min(len(self.one), len(self.other))
        alike = next((at for at in range(shortest) if self.one[at] != self.other[at]), shortest)
        begin = alike - _SHARED
        return (self.one, self.other) if begin <= 1 else (f"…{self.one[begin:]}", f"…{self.other[begin:]}")


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[Difference]:
    """What differs, by name."""
    found = (Difference(name, one.get(name), other.get(name)) for name in sorted({*one, *other}))
    return [each for each in found if each.one != each.other]
