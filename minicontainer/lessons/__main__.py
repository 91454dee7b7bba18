"""`python -m minicontainer.lessons NUMBER SUBJECT…`: a check, and its verdict as JSON. For use in the lab."""

from __future__ import annotations

import sys

from minicontainer.lessons.checking import main

main(*sys.argv[1:])
