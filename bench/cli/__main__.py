"""`python -m seqbench.bench.cli` is `seqbench`."""

from . import main

main()
