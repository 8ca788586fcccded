"""What one sees and types while picking: a line to type in, the list, and the facts of the container one is at.

On the terminal's other screen, so that what it showed before is there again afterwards. In its own colours, for nobody
knows whether they are dark on light or light on dark: bold and reversed are all it takes."""

from __future__ import annotations

import asyncio
import signal

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Point
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    DynamicContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    UIContent,
    UIControl,
    VSplit,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import create_output

from dockshell.errors import printable
from dockshell.picker import columns
from dockshell.picker.facts import listed
from dockshell.picker.rows import HEADINGS, narrowed, rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyPressEvent

    from dockshell.model import Container
    from dockshell.picker.facts import Facts, Lookout
    from dockshell.picker.gathering import Gathering
    from dockshell.picker.rows import Row

    # What gives a line, how many there are, and the one that is to be seen whatever else is.
    _Content = tuple[Callable[[int], StyleAndTextTuples], int, int]

__all__ = ["Ended", "Screen"]

# What is cut where there isn't room for all, and down to what: column and characters. A name is what one looks for.
_FLOORS = ((1, 12), (4, 8), (0, 16), (4, 0), (2, 0), (1, 0), (3, 0), (0, 1))
_WIDE = 110  # columns from which on the facts have a place beside the list
_HIGH = 12  # rows from which on they have one below it
_MOST = 14  # rows of them
_LABEL = 11  # columns in front of a fact
_MARK = "> "
_HINT = "Type part of a name, image, state, service or id   Enter: shell   Esc: leave"
_ESCAPE = 0.05  # seconds in which the rest of a key's sequence has to follow its Esc


class Ended(Exception):
    """A signal came. number: which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Screen:
    """typed: what stands in the line to begin with."""

    def __init__(self, gathering: Gathering, lookout: Lookout, typed: str) -> None:
        self._gathering = gathering
        self._lookout = lookout
        self._typed = Buffer(document=Document(typed), multiline=False, on_text_changed=self._narrow)
        self._found: tuple[Container, ...] | None = None
        self._all: list[Row] = []
        self._widths: list[int] = []
        self._rows: list[Row] = []
        self._at: Row | None = None
        self._output = create_output()
        self._list = Window(_Lines(self._listed))
        self._application: Application[Container | None] = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            full_screen=True,
            before_render=self._refresh,
            output=self._output,
        )
        self._application.ttimeoutlen = self._application.timeoutlen = _ESCAPE
        gathering.changed = lookout.changed = self._application.invalidate

    def run(self) -> Container | None:
        """Shows it until one is picked → that one, or None where there turns out to be nothing to pick. Raises
        KeyboardInterrupt where a person leaves, Ended."""
        try:
            return self._application.run(pre_run=self._listen, set_exception_handler=False)
        except EOFError:
            raise Ended(signal.SIGHUP) from None  # the terminal went away

    def _listed(self, width: int) -> _Content:
        widths = columns.fitted(self._widths, _FLOORS, width - len(_MARK))
        at = self._place()

        def line(number: int) -> StyleAndTextTuples:
            cells = columns.aligned(self._rows[number].cells(), widths)
            return [("reverse", _MARK + cells)] if number == at else [("", " " * len(_MARK) + cells)]

        return line, len(self._rows), at

    def _facts(self, width: int) -> _Content:
        picked = self._picked()
        facts: Facts = [] if self._gathering.asked else [("", "nothing fits what you typed")]
        if picked:
            facts = self._lookout.known.get(picked.container.id) or listed(picked.container)
        lines = _spelled(facts, width)
        return lines.__getitem__, len(lines), 0

    def _refresh(self, _: object = None) -> None:
        """Takes in what the engines have told since."""
        if self._gathering.found is not self._found:
            self._found = self._gathering.found
            before = self._picked()
            kept = before.container if before else None  # nothing slips in under one's finger
            self._all = rows(self._found)
            self._widths = columns.natural([HEADINGS, *(row.cells() for row in self._all)])
            self._rows = narrowed(self._all, self._typed.text)
            self._at = next((row for row in self._rows if row.container is kept), None)
        if self._gathering.vain and not self._application.is_done:
            self._application.exit(result=None)
        picked = self._picked()
        self._lookout.want(picked.container if picked else None)

    def _narrow(self, _: object) -> None:
        self._rows, self._at = narrowed(self._all, self._typed.text), None

    def _place(self) -> int:
        """Where one is: at the first, until one has moved or others have come."""
        return next((number for number, row in enumerate(self._rows) if row is self._at), 0)

    def _picked(self) -> Row | None:
        return self._rows[self._place()] if self._rows else None

    def _move(self, lines: int) -> None:
        if self._rows:
            self._at = self._rows[min(max(self._place() + lines, 0), len(self._rows) - 1)]

    def _listen(self) -> None:
        """What ends us has the terminal put back first."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._leave, Ended(number))

    def _leave(self, why: BaseException) -> None:
        if not self._application.is_done:
            self._application.exit(exception=why)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        def bind(names: str, act: Callable[[], None]) -> None:
            def pressed(_: KeyPressEvent) -> None:
                act()

            for name in names.split():
                keys.add(name)(pressed)

        bind("up c-p c-k", lambda: self._move(-1))
        bind("down c-n c-j", lambda: self._move(1))
        bind("pageup", lambda: self._move(-self._page()))
        bind("pagedown", lambda: self._move(self._page()))
        bind("home", lambda: self._move(-len(self._rows)))
        bind("end", lambda: self._move(len(self._rows)))
        bind("enter", self._pick)
        bind("escape c-c c-g <sigint>", lambda: self._leave(KeyboardInterrupt()))
        return keys

    def _page(self) -> int:
        info = self._list.render_info
        return max(info.window_height - 1, 1) if info else 1

    def _pick(self) -> None:
        picked = self._picked()
        if picked and not self._application.is_done:
            self._application.exit(result=picked.container)

    def _layout(self) -> Layout:
        line = Window(BufferControl(self._typed, input_processors=[BeforeInput(_MARK)]), height=1)
        count = Window(FormattedTextControl(self._count), height=1, dont_extend_width=True)
        heading = Window(FormattedTextControl(self._heading), height=1, style="bold")
        hint = Window(FormattedTextControl(self._hint), height=1)
        facts = _Lines(self._facts)
        half = Window(facts, width=lambda: Dimension.exact(self._wide() * 9 // 20))
        gap = Window(width=1)
        beside = VSplit([HSplit([heading, self._list]), gap, Window(width=1, char="│"), gap, half])
        lower = Window(facts, height=lambda: Dimension.exact(min(_MOST, self._high() // 2 - 1)))
        below = HSplit([heading, self._list, Window(height=1, char="─"), lower])
        alone = HSplit([heading, self._list])

        def body() -> HSplit | VSplit:
            if self._wide() >= _WIDE:
                return beside
            return below if self._high() >= _HIGH else alone

        roomy = ConditionalContainer(hint, Condition(lambda: self._high() > 5))
        return Layout(HSplit([VSplit([line, count]), DynamicContainer(body), roomy]), focused_element=line)

    def _wide(self) -> int:
        return self._output.get_size().columns

    def _high(self) -> int:
        return self._output.get_size().rows

    def _count(self) -> str:
        return f" {len(self._rows)}/{len(self._all)}"

    def _heading(self) -> str:
        info = self._list.render_info
        room = (info.window_width if info else self._wide()) - len(_MARK)
        return " " * len(_MARK) + columns.aligned(HEADINGS, columns.fitted(self._widths, _FLOORS, room))

    def _hint(self) -> str:
        said = [f"waiting for {printable(address)} ..." for address in self._gathering.asked]
        return "; ".join((*map(printable, self._gathering.failures), *said)) or _HINT


class _Lines(UIControl):
    """Lines that are made for the width that there is, each only where it can be seen. make: from the
    width."""

    def __init__(self, make: Callable[[int], _Content]) -> None:
        self._make = make

    def create_content(self, width: int, height: int) -> UIContent:
        line, count, at = self._make(width)
        return UIContent(line, line_count=count, cursor_position=Point(0, at), show_cursor=False)


def _spelled(facts: Facts, width: int) -> list[StyleAndTextTuples]:
    """What each is called in bold, and beside it the rest."""
    spelled: list[StyleAndTextTuples] = []
    for name, text in facts:
        for line in columns.wrapped(text, max(width - _LABEL, 1)):
            spelled.append([("bold", f"{name:{_LABEL}}"), ("", line)])
            name = ""
    return spelled
