"""`python -m qmig` is the same as `qmig`."""

from qmig.cli import main

main()
