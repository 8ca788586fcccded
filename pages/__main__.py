"""Writes the man page and the picture."""

from __future__ import annotations

import sys

from pages import man, picture
from tests.world import Unavailable

man.write()
try:
    picture.write()
except Unavailable as lack:
    sys.exit(f"{picture.PATH} stays as it was: {lack}")
