"""The checks, as they are run in the virtual machine by its first process (tests/vm/init): each reports a line, `ok
NAME SECONDS` or `not ok NAME REASON`, with the reason as JSON. tests/vm/conftest.py reads them."""

from __future__ import annotations

import importlib
import json
import os
import time
import traceback
from collections.abc import Callable

from tests.vm.engines import start_engines


def main() -> None:
    """Those of the kind that the kernel's command line names, in the order in which they are written."""
    # Words that the kernel doesn't know are the first process's environment: kernel-parameters.txt.
    kind, wanted = os.environ["DOCKSHELL_TEST"], os.environ.get("DOCKSHELL_CHECKS", "")
    checks = importlib.import_module(f"tests.vm.{kind}").CHECKS
    if not _passes("start", lambda: start_engines(kind)):
        return
    for name, check in checks.items():
        if any(each in name for each in wanted.split(",")):
            _passes(name, check)


def _passes(name: str, check: Callable[[], None]) -> bool:
    began = time.monotonic()
    try:
        check()
    except Exception as error:
        text = str(error) if isinstance(error, (AssertionError, RuntimeError)) and str(error) else ""
        print(f"not ok {name} {json.dumps(text or traceback.format_exc())}", flush=True)
        return False
    print(f"ok {name} {time.monotonic() - began:.0f}", flush=True)
    return True


if __name__ == "__main__":
    main()
