"""`python -m turnwise` is the program `turnwise`."""

from turnwise.cli import main

main()
